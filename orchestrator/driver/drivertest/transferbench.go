package drivertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// BenchmarkTransfer measures the import and export of a volume of 1 GB in a thousand files, beside tar and cp -a of the same on this
// machine.
func BenchmarkTransfer(b *testing.B, d driver.Driver, spec driver.Spec) {
	const files, size = 1000, 1 << 20
	archive := filepath.Join(b.TempDir(), "archive")
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	f, err := os.Create(archive)
	must(err)
	w := tar.NewWriter(f)
	for i := range files {
		must(w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint("file", i), Mode: 0o600, Size: size, Format: tar.FormatPAX}))
		_, err := w.Write(bytes.Repeat(fmt.Appendf(nil, "%08d", i), size/8))
		must(err)
	}
	must(errors.Join(w.Close(), f.Close()))
	command := func(script string, dir string) {
		cmd := exec.CommandContext(b.Context(), "sh", "-c", script)
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		must(cmd.Run())
	}
	var imported, exported, unpacked, packed, copied time.Duration
	taken := func(sum *time.Duration, do func()) {
		began := time.Now()
		do()
		*sum += time.Since(began)
	}
	for range b.N {
		dir := b.TempDir()
		taken(&unpacked, func() { command("tar -xf "+archive+" && sync -f .", dir) })
		taken(&packed, func() { command("tar -c . | cat > /dev/null", dir) })
		taken(&copied, func() { command("cp -a . ../copy && sync -f ../copy", dir) })
		must(errors.Join(os.RemoveAll(dir), os.RemoveAll(filepath.Join(dir, "../copy"))))
		taken(&imported, func() {
			f, err := os.Open(archive)
			must(err)
			must(errors.Join(d.(driver.Exporter).Import(b.Context(), spec, f), f.Close()))
		})
		taken(&exported, func() { must(d.(driver.Exporter).Export(b.Context(), spec, io.Discard)) })
		must(d.RemoveData(context.WithoutCancel(b.Context()), driver.Data{Volume: spec.Volume}))
	}
	b.ReportMetric(imported.Seconds()/float64(b.N), "import-s")
	b.ReportMetric(imported.Seconds()/unpacked.Seconds(), "import/tar-x")
	b.ReportMetric(imported.Seconds()/copied.Seconds(), "import/cp-a")
	b.ReportMetric(exported.Seconds()/float64(b.N), "export-s")
	b.ReportMetric(exported.Seconds()/packed.Seconds(), "export/tar-c")
}
