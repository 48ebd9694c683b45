package probe

import (
	"crypto/rand"
)

// A write check proves that an engine takes new data: it creates something of uws's own that needs at least writeSize
// of new space, and deletes it. Reading proves nothing of the kind, and neither do small updates: they succeed on a
// full disk. What an engine refuses is Alive; what the credentials do not allow is NotAsked.

// writeSize is how many bytes are written.
const writeSize = 64 << 10

// writeName names what is written: the bucket, database, stream or relation. Nothing else is touched.
const writeName = "uws-write-check"

// LookupWrite finds the write check of a type of probes. There is none for those whose protocol offers no place of
// uws's own, or no way to free what was written.
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

// Writes reports whether there is a write check for a type of probes.
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

// refusedWrite is the result where the engine took nothing, with its own reason.
func refusedWrite(t Target, full bool, said string) Result {
	r := alive(t, "%s", said)
	r.Refused, r.DiskFull = false, full
	return r
}
