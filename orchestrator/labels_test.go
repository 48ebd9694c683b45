package orchestrator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator"
)

func TestCheckLabels(t *testing.T) {
	tooMany := make([]orchestrator.Label, orchestrator.MaxLabels+1)
	for i := range tooMany {
		tooMany[i].Name = fmt.Sprint(i)
	}
	long := strings.Repeat("a", 63)
	for _, tt := range []struct {
		name   string
		labels []orchestrator.Label
		path   string // of the error; empty: none
		want   string // in the error
	}{
		{"none", nil, "", ""},
		{"plain", []orchestrator.Label{{Name: "team", Value: "shop"}, {Name: "A_b.c-1", Value: "X"}, {Name: long, Value: long}, {Name: "bare"}}, "", ""},
		{"a prefix", []orchestrator.Label{{Name: "example.org/team", Value: "shop"}, {Name: strings.Repeat("a.", 126) + "a/x"}}, "", ""},
		{"as many as possible", tooMany[1:], "", ""},
		{"too many", tooMany, "set", "at most 32"},
		{"no name", []orchestrator.Label{{Name: "a"}, {}}, "set[1].name", "1 to 63"},
		{"a long name", []orchestrator.Label{{Name: long + "a"}}, "set[0].name", "1 to 63"},
		{"a name that begins wrongly", []orchestrator.Label{{Name: "-a"}}, "set[0].name", "beginning and ending"},
		{"a name that ends wrongly", []orchestrator.Label{{Name: "a."}}, "set[0].name", "beginning and ending"},
		{"a space", []orchestrator.Label{{Name: "a b"}}, "set[0].name", "1 to 63"},
		{"a line feed", []orchestrator.Label{{Name: "a\n"}}, "set[0].name", "1 to 63"},
		{"an empty prefix", []orchestrator.Label{{Name: "/a"}}, "set[0].name", "DNS name"},
		{"a prefix in capitals", []orchestrator.Label{{Name: "Example.org/a"}}, "set[0].name", "DNS name"},
		{"a long prefix", []orchestrator.Label{{Name: strings.Repeat("a.", 126) + "aa/x"}}, "set[0].name", "253"},
		{"two slashes", []orchestrator.Label{{Name: "a/b/c"}}, "set[0].name", "1 to 63"},
		{"a reserved prefix", []orchestrator.Label{{Name: "uws/a"}}, "set[0].name", "reserved"},
		{"under a reserved prefix", []orchestrator.Label{{Name: "uws.io/a"}}, "set[0].name", "reserved"},
		{"a prefix that begins like a reserved one", []orchestrator.Label{{Name: "uwsx/a"}}, "", ""},
		{"a long value", []orchestrator.Label{{Name: "a", Value: long + "a"}}, "set[0].value", "empty, or 1 to 63"},
		{"a value with a slash", []orchestrator.Label{{Name: "a", Value: "b/c"}}, "set[0].value", "empty, or 1 to 63"},
		{"twice", []orchestrator.Label{{Name: "a"}, {Name: "a", Value: "b"}}, "set[1].name", "twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := orchestrator.CheckLabels("set", tt.labels)
			if tt.path == "" {
				if err != nil || len(all) != len(tt.labels) {
					t.Errorf("got %v, %v", all, err)
				}
				return
			}
			e, ok := orchestrator.AsError(err)
			if !ok || e.Code != orchestrator.InvalidInput || e.Path != tt.path || !strings.Contains(e.Message, tt.want) {
				t.Errorf("got %v at %q, want %q at %q", err, e.Path, tt.want, tt.path)
			}
		})
	}
}
