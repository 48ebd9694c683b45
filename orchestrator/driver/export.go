package driver

import (
	"context"
	"io"
)

// Exporter is a driver that copies the data of volumes out of its node and back, as tar archives. Its methods may run beside any
// other call, but a driver may refuse, as [Conflict], to export, import and remove one volume at the same time.
//
// Archives are in the PAX format. Names are relative to the root of the volume; a folder comes before what is in it, and a file
// before its hard links. Entries have modes, modification times, symbolic and hard links, and extended attributes in the user
// namespace as records SCHILY.xattr.*, as far as the driver has them: a Docker Engine leaves attributes out of what it exports, and
// keeps whole seconds since 1970 only. Owners are recorded and ignored. Bits that give a program the rights of its owner, the
// mark file, sockets, pipes and devices are left out, and holes of files become zeros. Archives of one driver can be imported by
// every other one.
type Exporter interface {
	// Export writes the data of spec.Volume to w. Instances may use it meanwhile: files that vanish are left out, files that grow
	// are cut off, and one that shrinks fails the export, as [Transient], so that consistency is the caller's, see [Freezer]. It
	// writes nothing on the node but what it removes again. It ends soon after ctx, if w does; w has then an archive that Import
	// refuses.
	// Errors: [DataMissing] if there is no such volume, or what is there is not it, see [Data.Recognise]; those of w.
	Export(ctx context.Context, spec Spec, w io.Writer) error

	// Import makes the volume spec.Volume of the archive r, owned by the user that an instance of spec runs as. The root has mode
	// 0700, and the owner can enter and change every folder. The volume appears whole or not at all: no other method takes
	// it for data before, and what a crash or an error leaves behind is removed at the latest by the next Import of the volume, and
	// by RemoveData. An archive is refused if an entry leads out of the volume, is a device or a pipe, comes twice, or comes before
	// its folder or the file that it links to, and if it is cut off. Symbolic links may lead anywhere: nothing is written through
	// them. It needs about 40 bytes of memory for each entry. It ends soon after ctx, if r does. The engine's image must be on
	// the node, see Prepare.
	// Errors: [Conflict] if the volume exists; [Invalid] if the archive is refused; [Transient] if the disk is full; those
	// of r.
	Import(ctx context.Context, spec Spec, r io.Reader) error
}

// Freezer is a driver that can suspend an instance and let it go on. A frozen instance is [Observed.Frozen], also for a driver that
// is opened later. Start thaws it too, and Stop kills it at once.
type Freezer interface {
	// Freeze suspends every process of the instance and returns when none of them runs. It is a no-op if it is frozen. If it
	// fails or ctx ends, the instance goes on.
	// Errors: [NotCreated] if it does not run.
	Freeze(ctx context.Context, service string) error
	// Thaw lets the instance go on. It is a no-op if it is not frozen or does not exist.
	Thaw(ctx context.Context, service string) error
}
