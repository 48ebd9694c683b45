package docker

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/docker/docker/api/types/registry"
)

// credentialsTimeout bounds how long a helper program may take, which may ask a person in its turn.
const credentialsTimeout = 10 * time.Second

// ConfigFolder is where the docker command keeps its configuration: in DOCKER_CONFIG, else in ~/.docker. Empty when
// there is neither. getenv is [os.Getenv], where HOME is the home folder.
func ConfigFolder(getenv func(string) string) string {
	if folder := getenv("DOCKER_CONFIG"); folder != "" {
		return folder
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".docker")
	}
	return ""
}

// registryAuth is what the docker command would show to the registry of an image: what `docker login` left in its
// configuration or with a helper program. Empty when there is nothing. It is read each time, so that a login counts at
// once.
func registryAuth(ctx context.Context, folder, image string) (string, error) {
	key := registryKey(image)
	if folder == "" || key == "" {
		return "", nil
	}
	type answer struct {
		auth types.AuthConfig
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		var a answer
		file, err := config.Load(folder)
		if err == nil {
			a.auth, err = file.GetAuthConfig(key)
		}
		a.err = err
		answered <- a
	}()
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("the credential helper of the docker command did not answer: %w", ctx.Err())
	case a := <-answered:
		if a.err != nil || a.auth == (types.AuthConfig{ServerAddress: a.auth.ServerAddress}) {
			return "", a.err
		}
		return registry.EncodeAuthConfig(registry.AuthConfig{
			Username: a.auth.Username, Password: a.auth.Password, ServerAddress: a.auth.ServerAddress,
			IdentityToken: a.auth.IdentityToken, RegistryToken: a.auth.RegistryToken,
		})
	}
}

// registryKey is the name under which the docker command keeps the credentials of an image's registry: its host, but for
// the default one the address of the index that there was once. Empty when the image's name is none.
func registryKey(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "" // the engine says what is wrong with it
	}
	short, _ := reference.ParseNormalizedNamed("x")
	host, standard := reference.Domain(named), reference.Domain(short)
	if host == standard {
		return "https://index." + standard + "/v1/"
	}
	return host
}
