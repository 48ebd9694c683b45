package clean_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/internal/clean"
)

func TestURL(t *testing.T) {
	for text, want := range map[string]string{
		"tcp://10.0.0.5:2376":               "tcp://10.0.0.5:2376",
		"tcp://user:pass@10.0.0.5:2376":     "tcp://***@10.0.0.5:2376",
		"tcp://token@host":                  "tcp://***@host",
		"tcp://user:p@ss/w?o#rd@host:1":     "tcp://***@host:1",
		"tcp://user:pa ss@host":             "tcp://***@host",
		"ssh://deploy@host/run/docker.sock": "ssh://deploy@host/run/docker.sock",
		"ssh://deploy:pass@host":            "ssh://***@host",
		"SSH://deploy:pass@host":            "SSH://***@host",
		"ssh://deploy%3Apass@host":          "ssh://***@host",
		"user:pass@host":                    "***@host",
		"tcp:/user:pass@host":               "***@host",
		"https://host/path?token=x":         "https://host/path?***",
		"https://host/sign-in#uwsl_X":       "https://host/sign-in#***",
		"unix:///var/run/docker.sock":       "unix:///var/run/docker.sock",
		"":                                  "",
	} {
		if got := clean.URL(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	text := `dial "tcp://u:PLANTED@a" and 'https://b/?k=PLANTED' for bob@example`
	if got, want := clean.URLs(text), `dial "tcp://***@a" and 'https://b/?***' for bob@example`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTerminals(t *testing.T) {
	const hostile = "a\x1b[2J\u009b31m\u202eb\U000e0001\x7f\nc"
	if got, want := clean.Line(hostile+"\xff ü"), `a\u001b[2J\u009b31m\u202eb\U000e0001\u007f\u000ac\xff ü`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var out strings.Builder
	if err := json.NewEncoder(clean.JSONWriter{W: &out}).Encode(hostile); err != nil {
		t.Fatal(err)
	}
	var back string
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back != hostile {
		t.Errorf("got %q, %v", back, err)
	}
	if strings.ContainsAny(strings.TrimSuffix(out.String(), "\n"), "\x1b\u009b\u202e\U000e0001\x7f\n") {
		t.Errorf("it holds what a terminal obeys: %q", out.String())
	}
}
