package dockerconfig

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types/registry"
)

func TestRegistryAuth(t *testing.T) {
	folder := t.TempDir()
	basic := base64.StdEncoding.EncodeToString([]byte("cat:meow"))
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"auths": {"` + registryKey("nats") + `": {"auth": "` + basic + `"}, "registry.test:5000": {"identitytoken": "purr"}}}`)
	for image, want := range map[string]registry.AuthConfig{
		"nats:2":                       {Username: "cat", Password: "meow"},
		"library/nats":                 {Username: "cat", Password: "meow"},
		"registry.test:5000/a/b:1":     {IdentityToken: "purr"},
		"registry.test/a/b:1":          {},
		"127.0.0.1:5000/private":       {},
		"not an image":                 {},
		"registry.test:5000/UPPER:bad": {},
	} {
		text, err := RegistryAuth(t.Context(), folder, image)
		var got registry.AuthConfig
		if text != "" {
			raw, decodeErr := base64.URLEncoding.DecodeString(text)
			if decodeErr == nil {
				decodeErr = json.Unmarshal(raw, &got)
			}
			if decodeErr != nil {
				t.Error(decodeErr)
			}
		}
		got.ServerAddress = ""
		if err != nil || got != want || (text == "") != (want == registry.AuthConfig{}) {
			t.Errorf("%s: %+v, %v; want %+v", image, got, err, want)
		}
	}
	for _, none := range []string{"", filepath.Join(folder, "none")} {
		if text, err := RegistryAuth(t.Context(), none, "nats"); text != "" || err != nil {
			t.Errorf("folder %q: %q, %v", none, text, err)
		}
	}
	write("{")
	if _, err := RegistryAuth(t.Context(), folder, "nats"); err == nil {
		t.Error("a broken configuration goes unnoticed")
	}
}
