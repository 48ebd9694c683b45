package home

import (
	"encoding/hex"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Magic numbers that package unix does not define.
const (
	zfsMagic      = 0x2FC12FC1
	bcachefsMagic = 0xCA451A4E
)

// fileSystem returns the identity of a file system. It is empty for types without one, or with one that depends on the
// device or the kernel. For the types listed here, statfs derives it from the UUID, or for tmpfs creates it at each
// mount. For XFS, statfs returns the device number, so the UUID is read instead.
func fileSystem(f *os.File, fs unix.Statfs_t) string {
	id := [2]uint32{uint32(fs.Fsid.Val[0]), uint32(fs.Fsid.Val[1])} //nolint:gosec // a bit pattern
	switch int64(fs.Type) & 0xFFFFFFFF {
	case unix.BTRFS_SUPER_MAGIC:
		id = btrfsID(f, id)
		fallthrough
	case unix.EXT4_SUPER_MAGIC, unix.TMPFS_MAGIC, zfsMagic, bcachefsMagic:
		if id != [2]uint32{} {
			return fmt.Sprintf("%08x%08x", id[0], id[1])
		}
	case unix.XFS_SUPER_MAGIC:
		return xfsUUID(f)
	}
	return ""
}

// stableInodes reports whether a folder keeps its inode number when the file system is mounted again.
func stableInodes(fs unix.Statfs_t) bool {
	switch int64(fs.Type) & 0xFFFFFFFF {
	case unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC:
		return false
	}
	return true
}

// xfsGeometry is struct xfs_fsop_geom_v1.
type xfsGeometry struct {
	_    [64]byte
	UUID [16]byte
	_    [32]byte
}

// xfsGeometryV1 is XFS_IOC_FSGEOMETRY_V1.
const xfsGeometryV1 = 0x80705864

func xfsUUID(f *os.File) string {
	var g xfsGeometry
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), xfsGeometryV1, uintptr(unsafe.Pointer(&g))) //nolint:gosec // the type that the kernel expects
	if errno != 0 {
		return ""
	}
	return hex.EncodeToString(g.UUID[:])
}
