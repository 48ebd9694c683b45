package home

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// btrfsInfo is struct btrfs_ioctl_fs_info_args.
type btrfsInfo struct {
	_            [16]byte
	UUID         [16]byte
	_            [16]byte
	Flags        uint64
	_            uint64
	MetadataUUID [16]byte
	_            [944]byte
}

const (
	btrfsFSInfo             = 0x8400941F // BTRFS_IOC_FS_INFO
	btrfsFlagOfMetadataUUID = 1 << 2
)

// btrfsID returns the id that statfs would report if no other Btrfs with the same UUID were mounted: the UUID combined
// with the id of the subvolume. If two file systems have the same UUID, because one is a copy of the other's image, the
// kernel gives the second one a random UUID while it is mounted.
func btrfsID(f *os.File, id [2]uint32) [2]uint32 {
	info := btrfsInfo{Flags: btrfsFlagOfMetadataUUID}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), btrfsFSInfo, uintptr(unsafe.Pointer(&info))) //nolint:gosec // the type that the kernel expects
	if errno != 0 || info.Flags&btrfsFlagOfMetadataUUID == 0 || info.UUID == info.MetadataUUID {
		return id
	}
	u := hex.EncodeToString(info.UUID[:])
	uuid := strings.Join([]string{u[:8], u[8:12], u[12:16], u[16:20], u[20:]}, "-")
	random, err := os.ReadFile("/sys/fs/btrfs/" + uuid + "/temp_fsid")
	if err != nil || strings.TrimSpace(string(random)) != "1" {
		return id // the file system was given another UUID
	}
	now, lasting := folded(info.UUID), folded(info.MetadataUUID)
	return [2]uint32{id[0] ^ now[0] ^ lasting[0], id[1] ^ now[1] ^ lasting[1]}
}

// folded returns a UUID in the form in which it is part of statfs's id.
func folded(uuid [16]byte) [2]uint32 {
	word := func(i int) uint32 { return binary.BigEndian.Uint32(uuid[4*i:]) }
	return [2]uint32{word(0) ^ word(2), word(1) ^ word(3)}
}
