package server_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Prometheus accepts the configuration in docs/health.md.
func TestDocumentedScrapeConfiguration(t *testing.T) {
	docs, err := os.ReadFile("../docs/health.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(docs)
	if found == nil {
		t.Fatal("docs/health.md has no configuration")
	}
	dir := t.TempDir()
	token, config := filepath.Join(dir, "uws.token"), filepath.Join(dir, "prometheus.yml")
	text := strings.ReplaceAll(string(found[1]), "/etc/prometheus/uws.token", token)
	for path, content := range map[string]string{token: "x", config: text} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("promtool", "check", "config", config).CombinedOutput(); err != nil {
		t.Errorf("promtool (tools/promtool installs it): %v: %s", err, out)
	}
}
