package postgres

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// file is what was received of a file.
type file struct {
	size  int64
	crc32 uint32 // Castagnoli
}

const (
	logFolder       = "pg_wal/"
	maxManifestLine = 64 << 10
	checksumLine    = `"Manifest-Checksum":`
)

// verify compares the files with the server's manifest, and empties received. The server writes the manifest in lines:
// one for each file, and last a checksum of all others.
func verify(manifest io.Reader, received map[string]file) error {
	lines, sum := bufio.NewReaderSize(manifest, maxManifestLine), sha256.New()
	for {
		line, err := lines.ReadSlice('\n')
		switch text := bytes.TrimSpace(line); {
		case errors.Is(err, io.EOF):
			return errors.New("the server's manifest has no checksum at its end")
		case err != nil:
			return fmt.Errorf("reading the server's manifest: %w", err)
		case bytes.HasPrefix(text, []byte(checksumLine)):
			said := strings.Trim(string(text[len(checksumLine):]), ` "}`)
			if hex.EncodeToString(sum.Sum(nil)) != said {
				return errors.New("the server's manifest does not have the checksum that it names")
			}
			return leftOver(received)
		case isFile(text):
			if err := verifyFile(bytes.TrimSuffix(text, []byte(",")), received); err != nil {
				return err
			}
		}
		_, _ = sum.Write(line) // never fails
	}
}

func isFile(line []byte) bool {
	return bytes.HasPrefix(line, []byte(`{ "Path":`)) || bytes.HasPrefix(line, []byte(`{ "Encoded-Path":`))
}

// verifyFile compares the file of one line of the manifest.
func verifyFile(line []byte, received map[string]file) error {
	var entry struct {
		Path        string
		EncodedPath string `json:"Encoded-Path"`
		Size        int64
		Algorithm   string `json:"Checksum-Algorithm"`
		Checksum    string
	}
	if err := json.Unmarshal(line, &entry); err != nil {
		return fmt.Errorf("the server's manifest has a line that is not JSON: %w", err)
	}
	if entry.EncodedPath != "" {
		path, err := hex.DecodeString(entry.EncodedPath)
		if err != nil {
			return fmt.Errorf("the server's manifest has a path that is not hexadecimal: %w", err)
		}
		entry.Path = string(path)
	}
	got, ok := received[entry.Path]
	if !ok {
		return fmt.Errorf("the server's manifest lists %q, which it did not send", entry.Path)
	}
	want, err := hex.DecodeString(entry.Checksum)
	switch {
	case err != nil || len(want) != 4 || entry.Algorithm != "CRC32C":
		return fmt.Errorf("the server's manifest has no CRC32C of %q", entry.Path)
	case got.size != entry.Size:
		return fmt.Errorf("%q has %d bytes, and %d in the server's manifest", entry.Path, got.size, entry.Size)
	case got.crc32 != binary.LittleEndian.Uint32(want):
		return fmt.Errorf("%q does not have the checksum of the server's manifest", entry.Path)
	}
	delete(received, entry.Path)
	return nil
}

// leftOver returns an error if a file that is not of the log is missing in the manifest.
func leftOver(received map[string]file) error {
	for path := range received {
		if !strings.HasPrefix(path, logFolder) {
			return fmt.Errorf("the server sent %q, which its manifest does not list", path)
		}
	}
	return nil
}
