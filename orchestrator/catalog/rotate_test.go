package catalog

import (
	"strings"
	"testing"
)

func TestRotateMistakes(t *testing.T) {
	change := func(s string) func(string) string {
		return func(good string) string {
			return strings.Replace(good, "probe:\n  type: tcp", s+"\nprobe:\n  type: postgres", 1)
		}
	}
	if p, err := parse("f.yaml", []byte(change("rotate: {how: restart, change: [password]}")(good)), anyProbe); err != nil || p.Rotate == nil {
		t.Fatalf("the good one: %v", err)
	}
	for _, tt := range []struct{ rotate, want string }{
		{"rotate: {how: magic, change: [password]}", `rotate.how: is "magic"; must be one of restart, postgres, mongodb`},
		{"rotate: {how: restart}", "rotate.change: is missing"},
		{"rotate: {how: restart, change: [pass]}", `rotate.change[0]: is "pass"; must be the name of a credential that is generated`},
		{"rotate: {how: restart, change: [password, password]}", `rotate.change[1]: is "password", which is there already`},
		{"rotate: {why: x}", "rotate.why: is unknown"},
	} {
		_, err := parse("f.yaml", []byte(change(tt.rotate)(good)), anyProbe)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.rotate, err, tt.want)
		}
	}
}

func TestRenew(t *testing.T) {
	made := Template{Credentials: []Credential{{Name: "user", Value: "uws"}, {Name: "password", Length: 32}, {Name: "key", Length: 32}}}
	old, err := made.GenerateCredentials()
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := made.Renew(old, Rotate{How: RotateByRestart, Change: []string{"password"}})
	if err != nil || fresh["user"] != "uws" || fresh["key"] != old["key"] || fresh["password"] == old["password"] || len(fresh["password"]) != 32 {
		t.Errorf("renewed %v to %v, %v", old, fresh, err)
	}
}
