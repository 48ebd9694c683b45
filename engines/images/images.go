// Package images builds container images of the pinned engines, for machines without access to a registry. An image is
// a root file system in one layer, for `docker import`. It can replace the image that its template names: with the same
// arguments, environment, user and data folder it runs the same service.
package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/unicorn-web-services/uws/engines"
)

// Users in the images. Templates use the same ids.
const (
	nobody  = 65532 // in images that contain only a program
	service = 999   // in the images of postgres and redis
)

// Image is the image of one engine.
type Image struct {
	Name string // of the engine and of its template
	Ref  string // such as "uws/nats:2.15.2"

	folder  string // of the engine, in the folder of engines; empty: a program installed on this machine
	changes []string
	fill    func(ctx context.Context, t *tree, engine string)
}

// All returns all images, sorted by name.
func All() ([]Image, error) {
	pinned, err := engines.All()
	if err != nil {
		return nil, err
	}
	makers := map[string]Image{
		"ferretdb":  alone("ferretdb", "/ferretdb", "USER 65532:65532"),
		"nats":      alone("nats-server", "/nats-server"),
		"postgres":  postgres(),
		"setec":     alone("setec", "/setec", "USER 65532:65532"),
		"versitygw": alone("versitygw", "/usr/local/bin/versitygw"),
	}
	var all []Image
	for _, e := range pinned {
		i, ok := makers[e.Name]
		if !ok {
			return nil, fmt.Errorf("engine %s has no image; add one in engines/images", e.Name)
		}
		i.Name, i.Ref, i.folder = e.Name, "uws/"+e.Name+":"+e.Version, e.ID()
		all = append(all, i)
		if e.Name == "postgres" {
			all = append(all, redis())
		}
	}
	return all, nil
}

// Changes returns the values for the flag -c of `docker import`: the image's ENTRYPOINT, USER, ENV and so on.
func (i Image) Changes() []string { return i.changes }

// Write writes the root file system as a tar. enginesDir is a folder that `make engines` has filled.
func (i Image) Write(ctx context.Context, w io.Writer, enginesDir string) error {
	t := &tree{ctx: ctx, tar: tar.NewWriter(w), made: map[string]bool{}}
	engine, err := filepath.EvalSymlinks(filepath.Join(enginesDir, i.folder))
	if err == nil {
		engine, err = filepath.Abs(engine)
	}
	if err != nil {
		return fmt.Errorf("making image %s: %w; `make engines` makes the engines", i.Ref, err)
	}
	i.fill(ctx, t, engine)
	if err := errors.Join(t.err, t.tar.Close()); err != nil {
		return fmt.Errorf("making image %s: %w", i.Ref, err)
	}
	return nil
}

// alone returns an image with only a static program, like the official image of nats.
func alone(binary, path string, changes ...string) Image {
	return Image{
		changes: append(changes, fmt.Sprintf("ENTRYPOINT [%q]", path)),
		fill: func(_ context.Context, t *tree, engine string) {
			t.base("nobody", nobody)
			t.file(path, filepath.Join(engine, binary))
			t.dir("/data", 0o755, nobody)
		},
	}
}
