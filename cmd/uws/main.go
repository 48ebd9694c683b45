// Command uws launches, watches, heals and removes backing services.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "dev"

const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// commands of the command line. Flags that are not given come from the environment, then from the
// configuration file, then from their defaults.
type commands struct {
	Serve     serveCommand     `cmd:"" help:"Run the control plane: the API, the UI and the loops that keep services alive."`
	LoginLink loginLinkCommand `cmd:"" help:"Make a link that signs a browser in, once, within 15 minutes."`
	Token     tokenCommands    `cmd:"" help:"Make, list and revoke tokens of programs."`
	Audit     auditCommand     `cmd:"" help:"Print the audit log as JSON lines, the oldest first."`
	Engines   enginesCommand   `cmd:"" help:"Fetch all engines ahead of their first use."`
	Key       keyCommand       `cmd:"" help:"Replace the key that seals the secrets in a store."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

// terminal is where commands write.
type terminal struct{ stdout, stderr io.Writer }

// exitCode unwinds kong, which knows no other way to end after --help.
type exitCode int

// run is the whole program: it returns the exit code. It ends early, and gracefully, when ctx does.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			early, ok := p.(exitCode)
			if !ok {
				panic(p)
			}
			code = int(early)
		}
	}()
	parser := newParser(ctx, &commands{}, &terminal{stdout: stdout, stderr: stderr})
	command, err := parser.Parse(args)
	if err != nil {
		return fail(stderr, exitUsage, err)
	}
	if err := command.Run(); err != nil {
		return fail(stderr, exitError, err)
	}
	return exitOK
}

func newParser(ctx context.Context, cli *commands, out *terminal) *kong.Kong {
	return kong.Must(cli,
		kong.Name("uws"),
		kong.Description("UWS Orchestrator: a self-hosted mini-cloud of backing services."),
		kong.Writers(out.stdout, out.stderr),
		kong.Exit(func(code int) { panic(exitCode(code)) }),
		kong.Vars{"engines": besideBinary("engines")},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(out),
	)
}

// fail prints err on one line.
func fail(stderr io.Writer, code int, err error) int {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	fmt.Fprintf(stderr, "uws: %s\n", strings.Join(lines, "; "))
	return code
}

// besideBinary is a path in the folder of the running program, and empty when that is not known.
func besideBinary(name string) string {
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(program), name)
}

type versionCommand struct{}

func (versionCommand) Run(out *terminal) error {
	_, err := fmt.Fprintf(out.stdout, "uws %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
