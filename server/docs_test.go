package server_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Prometheus accepts the configuration in docs/monitoring.md.
func TestDocumentedScrapeConfiguration(t *testing.T) {
	docs, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(docs)
	if found == nil {
		t.Fatal("docs/monitoring.md has no configuration")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := strings.ReplaceAll(string(found[1]), "/etc/prometheus", dir)
	rules, err := os.ReadFile("../deploy/prometheus/uws.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{filepath.Join(dir, "uws.token"): "x", config: text, filepath.Join(dir, "uws.rules.yml"): string(rules)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("promtool", "check", "config", config).CombinedOutput(); err != nil {
		t.Errorf("promtool (tools/prometheus installs it): %v: %s", err, out)
	}
}
