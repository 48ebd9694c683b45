package graph

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"

	"github.com/unicorn-web-services/uws/graph/generated"
)

var operationStart = regexp.MustCompile(`\b(mutation|query|subscription) (\(\$[^)]*\) )?\{`)

// Every operation that README and docs show is one of this API.
func TestDocumentedOperations(t *testing.T) {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range append(files, "../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		plain := strings.ReplaceAll(string(text), `\"`, `"`) // as a shell's JSON has it
		for _, at := range operationStart.FindAllStringIndex(plain, -1) {
			operation := balanced(plain[at[0]:])
			count++
			if _, errs := gqlparser.LoadQueryWithRules(schema, operation, validationRules()); errs != nil {
				t.Errorf("%s: %v in:\n%s", file, errs, operation)
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d operations were found", count)
	}
}

// balanced is text up to the brace that closes its first selection set.
func balanced(text string) string {
	depth, inArguments := 0, 0
	for i, c := range text {
		switch c {
		case '(':
			inArguments++
		case ')':
			inArguments--
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 && inArguments == 0 {
				return text[:i+1]
			}
		}
	}
	return text
}
