package driver

import (
	"context"
	"io"
)

// Exporter is a driver that copies the data of volumes out of its node and back, as tar archives.
//
// Entries of an archive are relative to the root of the volume. They have modes, modification times, symbolic and hard
// links, and extended attributes in the user namespace; owners are recorded and ignored. The mark file and sockets are
// left out. Archives of one driver can be imported by every other one.
type Exporter interface {
	// Export writes the data of spec.Volume to w. Instances may use it meanwhile: files that vanish are left out, and one
	// that shrinks fails the export, so that consistency is the caller's, see [Freezer]. It writes nothing on the node but
	// what it removes again.
	// Errors: [DataMissing] if there is no such volume, or what is there is not it; those of w.
	Export(ctx context.Context, spec Spec, w io.Writer) error

	// Import makes the volume spec.Volume of the archive r, owned by the user that an instance of spec runs as. The
	// volume appears whole or not at all: what a crash or an error leaves behind is removed by the next Import of the
	// volume, and by RemoveData. Entries that lead out of the volume, and devices, are refused.
	// Errors: [Conflict] if the volume exists; [Invalid] if the archive is refused; [Transient] if the disk is full; those
	// of r.
	Import(ctx context.Context, spec Spec, r io.Reader) error
}

// Freezer is a driver that can suspend an instance and let it go on. A frozen instance is [Observed.Frozen], and
// Start thaws it too.
type Freezer interface {
	// Freeze suspends every process of the instance and returns when none of them runs. It is a no-op if it is frozen.
	// Errors: [NotCreated] if it does not run.
	Freeze(ctx context.Context, service string) error
	// Thaw lets the instance go on. It is a no-op if it is not frozen or does not exist.
	Thaw(ctx context.Context, service string) error
}
