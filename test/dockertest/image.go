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

// PuppetImage is the image of ImportPuppet.
const PuppetImage = "uws/puppet:1"

// ImportPuppet loads an image into an engine that has only drivertest's puppet.
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

// writeTar writes a file system with one program and a folder for temporary files.
func writeTar(w io.Writer, name string, program []byte) error {
	t := tar.NewWriter(w)
	err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777})
	err = errors.Join(err, t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(program))}))
	_, writeErr := t.Write(program)
	return errors.Join(err, writeErr, t.Close())
}

// ImportEngine loads the image of one of our pinned engines into an engine, unless it has it, and returns the image's name.
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

// enginesFolder returns the folder of the engines that `make engines` fetched.
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

// Shared returns the engine that all tests of a package share, with the puppet's image. The first call starts it.
var Shared = sync.OnceValues(func() (*Engine, error) {
	e, err := Start()
	if err == nil {
		err = e.ImportPuppet()
	}
	return e, err
})

// Images returns values of --images for the images that can be made here.
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
