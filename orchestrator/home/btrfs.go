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

// btrfsID returns what statfs says of a Btrfs as it would be if no other one with the same UUID were mounted. That is the
// UUID combined with the id of the subvolume; a second file system of one UUID, which is a copy of the first one's
// image, or the original beside a copy, gets a random UUID for as long as it is mounted.
func btrfsID(f *os.File, id [2]uint32) [2]uint32 {
	info := btrfsInfo{Flags: btrfsFlagOfMetadataUUID}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), btrfsFSInfo, uintptr(unsafe.Pointer(&info))) //nolint:gosec // as the kernel wants it
	if errno != 0 || info.Flags&btrfsFlagOfMetadataUUID == 0 || info.UUID == info.MetadataUUID {
		return id
	}
	u := hex.EncodeToString(info.UUID[:])
	uuid := strings.Join([]string{u[:8], u[8:12], u[12:16], u[16:20], u[20:]}, "-")
	random, err := os.ReadFile("/sys/fs/btrfs/" + uuid + "/temp_fsid")
	if err != nil || strings.TrimSpace(string(random)) != "1" {
		return id // somebody gave it another UUID
	}
	now, lasting := folded(info.UUID), folded(info.MetadataUUID)
	return [2]uint32{id[0] ^ now[0] ^ lasting[0], id[1] ^ now[1] ^ lasting[1]}
}

// folded is a UUID as it enters statfs.
func folded(uuid [16]byte) [2]uint32 {
	word := func(i int) uint32 { return binary.BigEndian.Uint32(uuid[4*i:]) }
	return [2]uint32{word(0) ^ word(2), word(1) ^ word(3)}
}
