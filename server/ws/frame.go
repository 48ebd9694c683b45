package ws

import "encoding/binary"

// Opcodes of RFC 6455.
const (
	opText  byte = 1
	opClose byte = 8
	opPong  byte = 10
)

// appendHeader appends the header of a complete, unmasked frame. Servers do not mask frames.
func appendHeader(b []byte, op byte, size int) []byte {
	b = append(b, 0x80|op)
	switch {
	case size < 126:
		return append(b, byte(size)) //nolint:gosec // below 126
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
	}
}

// frameSize returns the size in bytes, including the header, of the frame at the beginning of b. The frame is one of
// ours, and b contains at least its header.
func frameSize(b []byte) int {
	switch size := int(b[1]); size {
	case 126:
		return 4 + int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return 10 + int(binary.BigEndian.Uint64(b[2:])) //nolint:gosec // a slice of ours had this length
	default:
		return 2 + size
	}
}

// begunEnd returns the end of the frame that byte n of b is in, or n if it is between two frames. The first begun bytes
// of b are the rest of a frame.
func begunEnd(b []byte, begun, n int) int {
	end := begun
	for end < n {
		end += frameSize(b[end:])
	}
	if n == 0 && begun == 0 {
		return 0
	}
	return end
}
