package main

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// shortCommands work on an existing store.
var shortCommands = map[string][]string{
	"token create": {"token", "create", "--name", "x", "--role", "VIEWER", "-q"},
	"token list":   {"token", "list"},
	"token revoke": {"token", "revoke", "x"},
	"audit":        {"audit"},
	"login-link":   {"login-link", "-q"},
	"key rotate":   {"key", "rotate"},
}

// files lists all files in a folder.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestShortCommandsMakeNoStore(t *testing.T) {
	if store.Exists(unitDataDir) {
		t.Skip("SKIPPED: this machine has a store in " + unitDataDir + ", which this test would find; CI has none")
	}
	unset(t, "UWS_DATA_DIR", "UWS_CONFIG")
	here := t.TempDir()
	t.Chdir(here)
	for name, args := range shortCommands {
		for _, named := range []string{"", filepath.Join(here, "elsewhere")} {
			want := filepath.Join(here, "data") + " or " + unitDataDir
			if named != "" {
				args, want = append(args[:len(args):len(args)], "--data-dir", named), named
			}
			code, stdout, stderr := call(t, args...)
			if code != exitError || stdout != "" || !strings.Contains(stderr, "no store in "+want) || !strings.Contains(stderr, "--data-dir") {
				t.Errorf("%s: %d %q %q", name, code, stdout, stderr)
			}
		}
	}
	if got := files(t, here); got != here {
		t.Errorf("left behind: %s", got)
	}
}

func TestShortCommandsFindTheStore(t *testing.T) {
	unset(t, "UWS_DATA_DIR", "UWS_CONFIG")
	dir := newStore(t)
	config := write(t, "listen: 127.0.0.1:1\ndata-dir: "+dir+"\n")
	list := func(env string, args ...string) {
		t.Helper()
		if name, value, ok := strings.Cut(env, "="); ok {
			t.Setenv(name, value)
			defer unset(t, name)
		}
		code, stdout, stderr := call(t, append([]string{"token", "list"}, args...)...)
		if code != 0 || !strings.Contains(stdout, "LAST USED") {
			t.Errorf("%s %v: %d %q %q", env, args, code, stdout, stderr)
		}
	}
	list("", "--data-dir", dir)
	list("UWS_DATA_DIR=" + dir)
	list("", "--config", config)
	list("UWS_CONFIG=" + config)
	t.Chdir(filepath.Dir(dir)) // contains ./data
	list("")
}

// If the port is in use, no store is created.
func TestPortInUseMakesNoStore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	parent := t.TempDir()
	code, _, stderr := call(t, "serve", "--listen", l.Addr().String(), "--data-dir", filepath.Join(parent, "data"), "--local-node", "none")
	if code != exitError || !strings.Contains(stderr, "address already in use") {
		t.Errorf("got %d %q", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(parent, "data")); !os.IsNotExist(err) {
		t.Errorf("left behind: %s", files(t, parent))
	}
}

// Each mistake in a template is reported on a line of its own.
func TestTemplateMistakesOnePerLine(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": "name: a\ndescription: [x]\nversion: [1]\n", "b.yaml": "name: b\nports:\n\t- name: x\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, _, stderr := call(t, "serve", "--listen", "127.0.0.1:0", "--templates", dir, "--data-dir", filepath.Join(dir, "data"))
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	for _, want := range []string{"a.yaml:2:14: description", "a.yaml:3:10: version", "b.yaml:3:1: is indented with a tab; YAML takes only spaces there"} {
		n := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "uws: ") && strings.Contains(line, want) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d lines say %q:\n%s", n, want, stderr)
		}
	}
}
