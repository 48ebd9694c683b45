package drivertest

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// transferEnv makes a test binary export a volume to its standard output, or import one from its standard input.
const transferEnv = "DRIVERTEST_TRANSFER"

type transfer struct {
	Options json.RawMessage
	Spec    driver.Spec
	Import  bool
}

// Transferring does what a test binary was started for by a test that kills it meanwhile. A test binary calls it first in its
// TestMain; it returns only when the binary was not started for that. open opens a driver with [Machine.Options].
func Transferring(open func(options json.RawMessage) (driver.Driver, error)) {
	text := os.Getenv(transferEnv)
	if text == "" {
		return
	}
	var job transfer
	err := json.Unmarshal([]byte(text), &job)
	var d driver.Driver
	if err == nil {
		d, err = open(job.Options)
	}
	if err == nil && job.Import {
		err = d.(driver.Exporter).Import(context.Background(), job.Spec, os.Stdin)
	} else if err == nil {
		err = d.(driver.Exporter).Export(context.Background(), job.Spec, os.Stdout)
	}
	fmt.Fprintln(os.Stderr, "transfer:", err)
	os.Exit(1)
}

// killed starts a transfer in a process of its own, which is killed after meanwhile, and opens the driver again.
func (f *fixture) killed(s driver.Spec, into bool, meanwhile func(in io.Writer, out io.Reader) error) {
	f.Helper()
	f.must(f.d.Close())
	options, err := json.Marshal(f.m.Options("first"))
	f.must(err)
	job, err := json.Marshal(transfer{options, s, into})
	f.must(err)
	cmd := exec.CommandContext(f.ctx, os.Args[0])
	cmd.Env = append(os.Environ(), transferEnv+"="+string(job))
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	f.must(err)
	out, err := cmd.StdoutPipe()
	f.must(err)
	f.must(cmd.Start())
	if err := meanwhile(in, out); err != nil {
		f.Errorf("it ended before it was killed: %v, %s", err, said.String())
	}
	f.must(cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	f.d = f.m.Open("first")
}

// A crash of uws in the middle of an import leaves nothing that counts as data, and no crash leaves what is in the way of the next
// import, export or removal.
func testTransferKilled(f *fixture) {
	s := f.puppet("killed")
	f.must(f.d.Prepare(f.ctx, s, nil))
	archive := f.packed(file("a", noise(32<<20)), file("b", "b"))
	half := func(in io.Writer, _ io.Reader) error {
		_, err := in.Write(archive[:len(archive)/2]) // more than a pipe holds
		return err
	}
	some := func(_ io.Writer, out io.Reader) error {
		_, err := io.ReadFull(out, make([]byte, 1<<20))
		return err
	}
	f.killed(s, true, half)
	f.wantNothing("killed", s)
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}))
	f.wantNothing("removed", s)
	f.killed(s, true, half)
	f.wantNothing("killed again", s)
	f.must(f.exporter().Import(f.ctx, s, bytes.NewReader(archive)))
	f.has(driver.Data{Volume: s.Volume, Used: true}, true)
	f.killed(s, false, some)
	if got := f.export(s); len(got) != 2 || len(got["a"].content) != 32<<20 {
		f.Errorf("it has %d entries", len(got))
	}
	f.killed(s, false, some)
	if l := f.list(); len(l) != 0 {
		f.Errorf("List has %v", l)
	}
	f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}))
	f.wantNothing("removed at the end", s)
	// A new volume of the name is one like any other.
	f.create(s)
	f.must(f.d.Remove(f.ctx, "killed"))
	f.has(driver.Data{Volume: s.Volume}, true)
}

func testManyFiles(f *fixture) {
	s := f.puppet("many")
	f.must(f.d.Prepare(f.ctx, s, nil))
	const folders, files = 100, 1000
	from, to := io.Pipe()
	go func() {
		w := tar.NewWriter(to)
		var err error
		for i := range folders {
			err = errors.Join(err, folder(fmt.Sprint(i), 0o700).writeTo(w))
			for j := range files {
				err = errors.Join(err, file(fmt.Sprintf("%d/%d", i, j), "").writeTo(w))
			}
		}
		to.CloseWithError(errors.Join(err, w.Close()))
	}()
	f.must(f.exporter().Import(f.ctx, s, from))
	count := 0
	f.exported(s, func(*tar.Header, io.Reader) { count++ })
	if want := 1 + folders + folders*files; count != want {
		f.Errorf("there are %d entries, want %d", count, want)
	}
}

// A file of a gigabyte without content, as tar archives it.
func testSparseFile(f *fixture) {
	s := f.puppet("sparse")
	f.must(f.d.Prepare(f.ctx, s, nil))
	const size = 1 << 30
	dir := f.TempDir()
	f.must(os.WriteFile(filepath.Join(dir, "holes"), []byte("begin"), 0o600))
	f.must(os.Truncate(filepath.Join(dir, "holes"), size))
	for _, format := range []string{"gnu", "posix"} {
		tarred, err := exec.CommandContext(f.ctx, "tar", "-C", dir, "--format="+format, "--sparse", "-c", "holes").Output()
		f.must(err)
		if len(tarred) > 1<<20 {
			f.Fatalf("the archive has %d bytes, so that this tests nothing", len(tarred))
		}
		f.must(f.exporter().Import(f.ctx, s, bytes.NewReader(tarred)))
		var n int64
		f.exported(s, func(h *tar.Header, r io.Reader) {
			if h.Name == "holes" {
				begin := make([]byte, 8)
				_, err := io.ReadFull(r, begin)
				f.must(err)
				rest, err := io.Copy(io.Discard, r)
				f.must(err)
				n = int64(len(begin)) + rest
				if string(begin) != "begin\x00\x00\x00" {
					f.Errorf("it begins with %q", begin)
				}
			}
		})
		if n != size {
			f.Errorf("%s: it has %d bytes, want %d", format, n, size)
		}
		f.must(f.d.RemoveData(f.ctx, driver.Data{Volume: s.Volume}))
	}
}

// exported calls each for each entry of a volume.
func (f *fixture) exported(s driver.Spec, each func(*tar.Header, io.Reader)) {
	f.Helper()
	from, to := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := f.exporter().Export(f.ctx, s, to)
		to.CloseWithError(err)
		done <- err
	}()
	for r := tar.NewReader(from); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		f.must(err)
		each(h, r)
	}
	_, _ = io.Copy(io.Discard, from)
	f.must(<-done)
}
