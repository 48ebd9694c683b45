package postgres

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
)

// labelFile tells a server that its data is a base backup, and where in the log to begin.
const (
	labelFile     = "backup_label"
	autoFile      = "postgresql.auto.conf"
	recoveryFile  = "recovery.signal"
	standbyFile   = "standby.signal"
	maxAutoConfig = 1 << 20
)

// Restore is how an archive is made ready to be restored.
type Restore struct {
	// Folder is where PGDATA is in the volume, such as "18/docker"; empty: its root.
	Folder string
	// Quarantine removes what would make the restored server act on its own, see [Quarantine].
	Quarantine bool
}

// Quarantine returns the arguments with which a restored server does not speak to others: subscriptions are not
// followed, and no libraries are loaded that run jobs. They are added after those of the template.
func Quarantine() []string {
	return []string{
		"-c", "max_logical_replication_workers=0", "-c", "shared_preload_libraries=", "-c", "session_preload_libraries=",
		"-c", "local_preload_libraries=", "-c", "archive_mode=off", "-c", "primary_conninfo=",
	}
}

// Prepare reads an archive of [Method.Save] and writes it as the data of a new server, which recovers from it at its
// first start. What belongs to the old server is left out: replication slots, lock files, and settings of recovery and
// replication that were made by ALTER SYSTEM. The error is a [method.DamagedError] if the archive is not whole.
func Prepare(r io.Reader, w io.Writer, how Restore) error {
	p := newPreparation(w, how)
	if err := p.copy(r); err != nil {
		return err
	}
	return p.out.Close()
}

// preparation writes the data of a new server.
type preparation struct {
	out       *tar.Writer
	how       Restore
	postponed bool   // postgresql.auto.conf is written by the caller
	kept      string // what the archive has of it then
	auto      string // lines to add to it
}

func newPreparation(w io.Writer, how Restore) *preparation {
	return &preparation{out: tar.NewWriter(w), how: how}
}

// copy writes every entry that belongs to the new server.
func (p *preparation) copy(r io.Reader) error {
	if err := p.parents(); err != nil {
		return err
	}
	label := false
	for in := method.ReadArchive(r); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if header.Name == "." { // PGDATA itself, which has no mode of its own in an archive
			continue
		}
		label = label || header.Name == labelFile
		if err := p.entry(header, in); err != nil {
			return err
		}
	}
	if !label {
		return &method.DamagedError{What: "it has no " + labelFile}
	}
	return nil
}

// parents writes the folders above PGDATA.
func (p *preparation) parents() error {
	if p.how.Folder == "" {
		return nil
	}
	if path.Clean(p.how.Folder) != p.how.Folder || !filepath.IsLocal(p.how.Folder) {
		return fmt.Errorf("the folder %q is not a clean path in the volume", p.how.Folder)
	}
	at := ""
	for part := range strings.SplitSeq(p.how.Folder, "/") {
		at += part + "/"
		if err := p.out.WriteHeader(&tar.Header{Name: at, Mode: 0o700, Typeflag: tar.TypeDir, Format: tar.FormatPAX}); err != nil {
			return err
		}
	}
	return nil
}

func (p *preparation) entry(header *tar.Header, in *method.Archive) error {
	if left(header.Name) {
		return nil
	}
	if header.Name == autoFile {
		text, err := in.Text(header, maxAutoConfig)
		if err != nil {
			return err
		}
		if p.kept = string(text); p.postponed {
			return nil
		}
		return p.configure(p.config(p.kept))
	}
	to := *header
	to.Name, to.Format = p.within(header.Name), tar.FormatPAX
	if to.Typeflag == tar.TypeDir {
		to.Name += "/"
	}
	if err := p.out.WriteHeader(&to); err != nil {
		return err
	}
	_, err := io.Copy(p.out, in)
	return err
}

// within returns the name of a file of PGDATA in the volume.
func (p *preparation) within(name string) string {
	if p.how.Folder == "" {
		return name
	}
	return p.how.Folder + "/" + name
}

// configure writes postgresql.auto.conf.
func (p *preparation) configure(text []byte) error {
	return method.WriteFile(p.out, p.within(autoFile), append(text, p.auto...))
}

// left reports whether a file is left out: it belongs to the server that was saved.
func left(name string) bool {
	switch name {
	case "postmaster.pid", "postmaster.opts", standbyFile, recoveryFile, "backup_manifest":
		return true
	}
	return strings.HasPrefix(name, "pg_replslot/")
}

// config returns the lines of postgresql.auto.conf that stay.
func (p *preparation) config(text string) []byte {
	var kept []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "=")
		if !p.drops(strings.ToLower(strings.TrimSpace(name))) {
			kept = append(kept, line)
		}
	}
	return []byte(strings.Join(kept, "\n") + "\n")
}

// drops reports whether a setting is removed: it is about recovery and replication, or makes the server run jobs.
func (p *preparation) drops(setting string) bool {
	for _, prefix := range []string{"recovery_", "restore_command", "archive_", "primary_", "standby_", "synchronous_standby_names", "promote_trigger_file"} {
		if strings.HasPrefix(setting, prefix) {
			return true
		}
	}
	return p.how.Quarantine && (strings.HasSuffix(setting, "_preload_libraries") || strings.HasPrefix(setting, "cron."))
}
