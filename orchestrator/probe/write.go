package probe

import (
	"crypto/rand"
)

// A write check shows that an engine accepts new data. It creates an object of uws's own that needs at least writeSize
// bytes of new space, and deletes it. Reads do not show this, and neither do small updates: they succeed on a full
// disk. A refusal by the engine is Alive. A missing permission is NotAsked.

// writeSize is the number of bytes to write.
const writeSize = 64 << 10

// writeName is the name of the bucket, database, stream or relation that is created. Nothing else is changed.
const writeName = "uws-write-check"

// LookupWrite returns the write check of a probe type. A type has none if its protocol offers no separate place to
// write to, or no way to free the space again.
func LookupWrite(probeType string) (Func, bool) {
	switch probeType {
	case "mongodb":
		return writeMongoDB, true
	case "nats":
		return writeNATS, true
	case "postgres":
		return writePostgres, true
	case "redis":
		return writeRedis, true
	case "s3":
		return writeS3, true
	}
	return nil, false
}

// Writes reports whether a probe type has a write check.
func Writes(probeType string) bool {
	_, can := LookupWrite(probeType)
	return can
}

// incompressible returns writeSize random bytes.
func incompressible() []byte {
	b := make([]byte, writeSize)
	_, _ = rand.Read(b) // never fails
	return b
}

func wrote(t Target) Result { return ok(t, "wrote %d KiB and deleted it", writeSize>>10) }

// refusedWrite returns the result for a refused write, with the engine's reason.
func refusedWrite(t Target, full bool, said string) Result {
	r := alive(t, "%s", said)
	r.Refused, r.DiskFull = false, full
	return r
}
