package images

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// entrypoint is the program that the postgres image starts with.
const entrypoint = "github.com/unicorn-web-services/uws/engines/images/postgres"

// postgres returns an image like the official one, version 18 and later: one volume for all versions. Without a
// configured user it starts as root and switches to postgres.
func postgres() Image {
	return Image{
		changes: []string{
			"ENV PATH=/usr/local/pgsql/bin:/usr/local/bin:/usr/bin:/bin", "ENV PGDATA=/var/lib/postgresql/18/docker",
			"VOLUME /var/lib/postgresql",
			`ENTRYPOINT ["/usr/local/bin/docker-entrypoint"]`, `CMD ["postgres"]`,
		},
		fill: func(ctx context.Context, t *tree, engine string) {
			t.base("postgres", service)
			t.dir("/var/lib/postgresql", 0o1777, service)
			t.dir("/var/run/postgresql", 0o3777, service)
			t.folder("/usr/local/pgsql", engine, func(file string) bool {
				return strings.HasSuffix(file, ".a") || strings.HasSuffix(file, ".pc") || filepath.Base(file) == "SHA256SUMS"
			})
			programs, _ := filepath.Glob(filepath.Join(engine, "bin", "*")) // the patterns are valid
			plugins, _ := filepath.Glob(filepath.Join(engine, "lib", "postgresql", "*.so"))
			t.libraries(filepath.Join(engine, "lib"), append(programs, plugins...)...)
			// initdb runs the server with a shell.
			shell := t.program("sh", "initdb needs a shell")
			t.file("/bin/sh", shell)
			t.libraries("", shell)
			t.entrypoint(ctx)
		},
	}
}

// entrypoint builds our own program, which replaces the script of the official image.
func (t *tree) entrypoint(ctx context.Context) {
	if t.err != nil {
		return
	}
	dir, err := os.MkdirTemp("", "uws-image-")
	if err != nil {
		t.err = err
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "docker-entrypoint")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", binary, entrypoint)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.err = fmt.Errorf("building %s: %w: %s", entrypoint, err, out)
		return
	}
	t.file("/usr/local/bin/docker-entrypoint", binary)
}

// redis returns an image of the Redis that is installed on this machine.
func redis() Image {
	const path = "/usr/local/bin/redis-server"
	return Image{
		Name: "redis", Ref: "uws/redis:7.0",
		changes: []string{"VOLUME /data", "WORKDIR /data", fmt.Sprintf("ENTRYPOINT [%q]", path)},
		fill: func(_ context.Context, t *tree, _ string) {
			t.base("redis", service)
			t.dir("/data", 0o755, service)
			server := t.program("redis-server", "install it with tools/redis-server")
			t.file(path, server)
			t.libraries("", server)
		},
	}
}
