package docker

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/test/dockertest"
)

// trusting is what reaches an engine whose certificate ca signed, with p as ours.
func trusting(ca *dockertest.Authority, p dockertest.Pair) *TLS {
	return &TLS{CA: ca.PEM, Certificate: p.Certificate, Key: driver.Secret(p.Key)}
}

// writeTLS writes the files that the docker command knows, and gives their folder.
func writeTLS(t *testing.T, keys *TLS) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"ca.pem": keys.CA, "cert.pem": keys.Certificate, "key.pem": string(keys.Key)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
