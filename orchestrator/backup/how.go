package backup

import (
	"io"

	"github.com/unicorn-web-services/uws/orchestrator/backup/method"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/mongodb"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/nats"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/postgres"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/s3"
	"github.com/unicorn-web-services/uws/orchestrator/backup/method/setec"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// how is the way in which the data of a backup was saved, by which it must be restored.
type how string

const (
	// byVolume is a copy of the files of the volume, taken while the engine was frozen or stopped.
	byVolume how = "volume"
	// byBaseBackup is PostgreSQL's own copy of its files while it runs.
	byBaseBackup how = "postgres"
	// byStreams are the snapshots of JetStream's streams.
	byStreams how = "nats"
	// byObjects are the objects of an S3.
	byObjects how = "s3"
)

// live returns how a running engine is saved over its own protocol; nil if it is saved by its files.
func (b *Backups) live(t catalog.Template) (how, method.Saver) {
	switch t.Probe.Type {
	case "postgres":
		return byBaseBackup, postgres.Method{}
	case "nats":
		return byStreams, nats.Method{Folder: b.Dir}
	case "s3":
		return byObjects, s3.Method{}
	}
	return byVolume, nil
}

// describer returns what lists the contents of an engine that is saved by its files; nil if nothing does.
func describer(t catalog.Template) method.Describer {
	switch t.Probe.Type {
	case "mongodb":
		return mongodb.Method{}
	case "setec":
		return setec.Method{}
	}
	return nil
}

// loader returns how a backup is loaded into a running engine; nil if its files are copied.
// In quarantine it takes no messages from others.
func (b *Backups) loader(h how, quarantine bool) method.Loader {
	switch h {
	case byStreams:
		return nats.Method{Folder: b.Dir, Quarantine: quarantine}
	case byObjects:
		return s3.Method{}
	}
	return nil
}

// checker returns how a restored copy is compared with what was saved; nil if its probe is all.
func (b *Backups) checker(m *manifest) method.Checker {
	switch m.How {
	case byBaseBackup:
		return postgres.Method{}
	case byStreams:
		return nats.Method{Folder: b.Dir}
	case byObjects:
		return s3.Method{}
	}
	if len(m.Saved.Contents.Groups) == 0 {
		return nil
	}
	switch m.Definition.Probe.Type {
	case "mongodb":
		return mongodb.Method{}
	case "setec":
		return setec.Method{}
	}
	return nil
}

// prepare makes the archive of a backup ready to be the data of a new engine whose files are in the folder root of its volume.
func (h how) prepare(r io.Reader, w io.Writer, from, root string) error {
	if h == byBaseBackup {
		return postgres.Prepare(r, w, postgres.Restore{Folder: root})
	}
	return reroot(r, w, from, root)
}

// root returns the folder of the volume that holds the engine's files, which differs between drivers.
func (b *Backups) root(t catalog.Template, drv catalog.Driver) string {
	if r := t.Runtime(drv); r != nil && r.Root != "" {
		return r.Root
	}
	if now, ok := b.Catalog.Lookup(t.Name); ok && now.Major() == t.Major() && now.Runtime(drv) != nil {
		return now.Runtime(drv).Root // of a template from before there were roots
	}
	return ""
}
