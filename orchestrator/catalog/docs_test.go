package catalog

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/probe"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\\n(.*?)```")

// All examples in docs/templates.md load: the first one as it is, each of the others in place of the section with its
// name.
func TestDocumentedTemplates(t *testing.T) {
	text, err := os.ReadFile("../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 7 {
		t.Fatalf("only %d examples", len(blocks))
	}
	whole := blocks[0][1]
	seen := map[string]bool{}
	for _, b := range blocks {
		example := b[1]
		if example != whole {
			section, _, _ := strings.Cut(example, ":")
			seen[section] = true
			example = without(whole, section) + example
		}
		if _, err := parse("example.yaml", []byte(example), Probes{Check: probe.Check, Writes: probe.Writes}); err != nil {
			t.Errorf("%v in:\n%s", err, example)
		}
	}
	for _, section := range []string{"process", "docker", "connections", "stop", "logs", "probe"} {
		if !seen[section] {
			t.Errorf("section %s is not described", section)
		}
	}
}

// without removes a top-level section from a template.
func without(template, section string) string {
	return regexp.MustCompile("(?m)^"+section+":.*\n(^ .*\n)*").ReplaceAllString(template, "")
}
