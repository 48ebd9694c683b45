package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/unicorn-web-services/uws/engines/images"
	"github.com/unicorn-web-services/uws/test/uwstest"
)

// PuppetImage is what ImportPuppet makes.
const PuppetImage = "uws/puppet:1"

// ImportPuppet gives an engine an image with drivertest's puppet and nothing else.
func (e *Engine) ImportPuppet() error {
	data, err := os.ReadFile(uwstest.Path(Dir(), uwstest.Puppet))
	if err != nil {
		return err
	}
	var image bytes.Buffer
	if err := writeTar(&image, "puppet", data); err != nil {
		return err
	}
	return e.Import(PuppetImage, []string{`ENTRYPOINT ["/puppet"]`}, &image)
}

// writeTar writes a file system that holds one program and a folder for temporary files.
func writeTar(w io.Writer, name string, program []byte) error {
	t := tar.NewWriter(w)
	err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777})
	err = errors.Join(err, t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(program))}))
	_, writeErr := t.Write(program)
	return errors.Join(err, writeErr, t.Close())
}

// ImportEngine gives an engine the image of one of our pinned engines, unless it has it, and returns its name.
func (e *Engine) ImportEngine(ctx context.Context, name string) (string, error) {
	all, err := images.All()
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(all, func(i images.Image) bool { return i.Name == name })
	if i < 0 {
		return "", fmt.Errorf("there is no image of an engine %q", name)
	}
	e.importing.Lock()
	defer e.importing.Unlock()
	if _, err := e.Docker("image", "inspect", all[i].Ref); err == nil {
		return all[i].Ref, nil
	}
	in, out := io.Pipe()
	go func() { out.CloseWithError(all[i].Write(ctx, out, enginesFolder())) }()
	defer in.Close()
	return all[i].Ref, e.Import(all[i].Ref, all[i].Changes(), in)
}

// enginesFolder is where `make engines` left the engines.
func enginesFolder() string {
	if dir := os.Getenv("UWS_TEST_ENGINES"); dir != "" {
		return dir
	}
	repo, err := uwstest.Repo()
	if err != nil {
		return "build/engines"
	}
	return filepath.Join(repo, "build", "engines")
}

// Shared is one engine for all tests of a package, with the puppet's image, started when it is first asked for.
var Shared = sync.OnceValues(func() (*Engine, error) {
	e, err := Start()
	if err == nil {
		err = e.ImportPuppet()
	}
	return e, err
})

// Images is what --images takes, for the images that can be made here.
func Images(t *testing.T) string {
	t.Helper()
	all, err := images.All()
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, i := range all {
		pairs = append(pairs, i.Name+"="+i.Ref)
	}
	return strings.Join(pairs, ",")
}
