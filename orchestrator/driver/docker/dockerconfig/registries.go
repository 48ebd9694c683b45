package dockerconfig

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

// credentialsTimeout bounds a credential helper, which may wait for a person.
const credentialsTimeout = 10 * time.Second

// Folder returns the folder of the docker command's configuration: DOCKER_CONFIG, else ~/.docker; empty if neither
// variable is set. getenv is [os.Getenv], where HOME is the home folder.
func Folder(getenv func(string) string) string {
	if folder := getenv("DOCKER_CONFIG"); folder != "" {
		return folder
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".docker")
	}
	return ""
}

// RegistryAuth returns the credentials, as the engine's API takes them, that `docker login` stored for the registry of an
// image, in the configuration or with a helper program; empty if there are none. It reads them each time.
func RegistryAuth(ctx context.Context, folder, image string) (string, error) {
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

// registryKey returns the name under which the docker command stores the credentials of an image's registry: its host, or,
// for the default registry, the address of its former index; empty if the name of the image is not valid.
func registryKey(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "" // the engine reports what is wrong with it
	}
	short, _ := reference.ParseNormalizedNamed("x")
	host, standard := reference.Domain(named), reference.Domain(short)
	if host == standard {
		return "https://index." + standard + "/v1/"
	}
	return host
}
