// Package archive reads and writes the data of volumes as tar archives, see [driver.Exporter].
//
// Archives are in the PAX format. Names are relative to the root of the volume, a folder comes before what is in it, and a file
// before its hard links. Two blocks of zeros end an archive, so that one that was cut off is never taken for a whole one.
package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

const (
	// attributes begins the PAX records with extended attributes in the user namespace.
	attributes = "SCHILY.xattr.user."
	// permissions are the bits of a mode that are kept: not those that give a program the rights of its owner or group.
	permissions = 0o1777
	// room is the size of buffers in bytes.
	room = 256 << 10
)

// Entry returns the header of what another tar or a file system describes by h, as archives have it under a name relative to the
// root of the volume. It returns nil for devices, pipes and sockets.
func Entry(h *tar.Header, name string) *tar.Header {
	e := &tar.Header{Format: tar.FormatPAX, Typeflag: h.Typeflag, Name: name, Mode: h.Mode & permissions, Uid: h.Uid, Gid: h.Gid, ModTime: bound(h.ModTime)}
	switch h.Typeflag {
	case tar.TypeDir:
		e.Name = strings.TrimSuffix(name, "/") + "/"
	case tar.TypeReg:
		e.Size = h.Size
	case tar.TypeGNUSparse, tar.TypeCont: // their content is read like any other
		e.Typeflag, e.Size = tar.TypeReg, h.Size
	case tar.TypeLink, tar.TypeSymlink:
		e.Linkname = h.Linkname
	default:
		return nil
	}
	for key, value := range h.PAXRecords {
		if strings.HasPrefix(key, attributes) {
			if e.PAXRecords == nil {
				e.PAXRecords = map[string]string{}
			}
			e.PAXRecords[key] = value
		}
	}
	return e
}

// bound returns the nearest time that is a number of nanoseconds since 1970 in 64 bits: others cannot be given to a file.
func bound(t time.Time) time.Time {
	if first := time.Unix(0, math.MinInt64); t.Before(first) {
		return first
	}
	if last := time.Unix(0, math.MaxInt64); t.After(last) {
		return last
	}
	return t
}

// Writer writes an archive.
type Writer struct {
	ctx    context.Context
	tar    *tar.Writer
	buffer *bufio.Writer
	copied []byte
}

// NewWriter returns a writer of an archive. Its methods fail once ctx has ended.
func NewWriter(ctx context.Context, w io.Writer) *Writer {
	buffer := bufio.NewWriterSize(w, room)
	return &Writer{ctx: ctx, tar: tar.NewWriter(buffer), buffer: buffer, copied: make([]byte, room)}
}

// Add writes an entry of [Entry], with its content if it is a file. It ignores what comes after h.Size bytes.
// Errors: [io.ErrUnexpectedEOF] if the content has less.
func (w *Writer) Add(h *tar.Header, content io.Reader) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	n, err := io.CopyBuffer(w.tar, reader{w.ctx, io.LimitReader(content, h.Size)}, w.copied)
	if err == nil && n < h.Size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Close writes the end of the archive. Without it the archive is incomplete.
func (w *Writer) Close() error { return errors.Join(w.tar.Close(), w.buffer.Flush()) }

// reader fails once its context has ended.
type reader struct {
	ctx  context.Context
	from io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}

// shown returns a name in quotes, shortened.
func shown(name string) string { return fmt.Sprintf("%.200q", name) }
