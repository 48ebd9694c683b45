package auth

import (
	"encoding/json"
	"fmt"

	"github.com/unicorn-web-services/uws/internal/clean"
)

// detailText returns the detail of a line as JSON, with the secrets in URLs hidden. Detail longer than maxAuditText is
// replaced by its size.
func detailText(detail map[string]any) (string, error) {
	if len(detail) == 0 {
		return "", nil
	}
	shown := make(map[string]any, len(detail))
	for name, value := range detail {
		text, isText := value.(string)
		switch {
		case !isText:
			shown[name] = withoutSecrets(value)
		case name == "endpoint" || name == "serviceAddress": // these fields should be URLs, so hide secrets even if the value is malformed
			shown[name] = clean.URL(text)
		default:
			shown[name] = clean.URLs(text)
		}
	}
	text, err := json.Marshal(shown)
	if err != nil {
		return "", fmt.Errorf("audit log: %w", err)
	}
	if len(text) > maxAuditText {
		return fmt.Sprintf(`{"leftOut":"%d bytes"}`, len(text)), nil
	}
	return string(text), nil
}

// withoutSecrets hides the secrets of URLs in all strings of a GraphQL value.
func withoutSecrets(value any) any {
	switch v := value.(type) {
	case string:
		return clean.URLs(v)
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = withoutSecrets(item)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, item := range v {
			all[name] = withoutSecrets(item)
		}
		return all
	}
	return value
}
