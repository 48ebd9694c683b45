package archive

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// Rewrite writes an archive of a tar of a folder, as a container engine makes it: the name of the folder begins all names. An engine
// leaves out what vanished before it saw it, and ends the tar early if a file is shorter than its header says.
// Errors: [driver.Transient] if the tar is incomplete; those of from and w.
func Rewrite(ctx context.Context, from io.Reader, w io.Writer) error {
	source := &source{Reader: reader{ctx, from}}
	in, to := tar.NewReader(source), NewWriter(ctx, w)
	for last := "."; ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) && !source.ended {
			return to.Close()
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return incomplete(last)
		}
		if err != nil {
			return err
		}
		last = inside(h.Name)
		e := Entry(h, last)
		if first, _, _ := strings.Cut(last, "/"); e == nil || driver.Ignored(first) {
			continue
		}
		if h.Typeflag == tar.TypeLink {
			e.Linkname = inside(h.Linkname)
		}
		if err := to.Add(e, in); errors.Is(err, io.ErrUnexpectedEOF) {
			return incomplete(last)
		} else if err != nil {
			return err
		}
	}
}

func incomplete(name string) error {
	return driver.Errorf(driver.Transient, "the engine did not send the whole volume, but ended at %s: the file shrank or vanished meanwhile, "+
		"or the connection broke; freeze or stop the instance and export again", shown(name))
}

// inside returns a name that begins with the name of a folder without that.
func inside(name string) string {
	_, rest, _ := strings.Cut(path.Clean(name), "/")
	if rest == "" {
		return "."
	}
	return rest
}
