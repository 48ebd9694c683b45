// Command uws launches, monitors, repairs and removes backing services.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/unicorn-web-services/uws/cmd/uws/client"
	"github.com/unicorn-web-services/uws/internal/clean"
)

// version is set by the linker.
var version = "dev"

const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// commands are the commands of the command line. Flags take precedence over environment variables, and these over the
// configuration file.
type commands struct {
	client.Commands `embed:""`

	Serve        serveCommand        `cmd:"" group:"server" help:"Run the control plane: the API, the dashboard, and the controllers that keep services running."`
	LoginLink    loginLinkCommand    `cmd:"" group:"server" help:"Print a login link. It signs in one browser, once, within 15 minutes."`
	Token        tokenCommands       `cmd:"" group:"server" help:"Create, list and revoke tokens for programs."`
	Audit        auditCommand        `cmd:"" group:"server" help:"Print the audit log as JSON lines, oldest first."`
	Engines      enginesCommand      `cmd:"" group:"server" help:"Fetch all engines before their first use."`
	Key          keyCommand          `cmd:"" group:"server" help:"Replace the key that seals the secrets in a store."`
	RestoreStore restoreStoreCommand `cmd:"" group:"server" help:"Make a data folder of the copy of a store in a backup target."`
	Version      versionCommand      `cmd:"" group:"server" help:"Print the version."`
	Help         helpCommand         `cmd:"" group:"server" help:"List the commands, or show the flags of one."`

	ShowVersion versionFlag `name:"version" help:"Print the version."`
}

// terminal is the output of commands.
type terminal struct{ stdout, stderr io.Writer }

// exitCode is a panic value that ends kong: it has no other way to stop after --help.
type exitCode int

// run runs the program and returns its exit code. It stops gracefully when ctx ends.
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
	out, config := &terminal{stdout: stdout, stderr: stderr}, &usedConfig{}
	parser := newParser(ctx, &commands{}, out, config)
	if isGroup(parser.Model.Node, args) {
		args = append(slices.Clone(args), "--help")
	}
	command, err := parser.Parse(args)
	if err != nil {
		return fail(stderr, exitUsage, config.explain(err))
	}
	if err := command.Run(); err != nil {
		code := exitError
		if coded, ok := errors.AsType[*client.Error](err); ok {
			code = coded.Code
		}
		return fail(stderr, code, err)
	}
	return exitOK
}

// isGroup reports whether args name only the program, or a group of commands.
func isGroup(node *kong.Node, args []string) bool {
	for _, arg := range args {
		i := slices.IndexFunc(node.Children, func(c *kong.Node) bool { return c.Name == arg })
		if i < 0 {
			return false
		}
		node = node.Children[i]
	}
	return len(node.Children) > 0
}

func newParser(ctx context.Context, cli *commands, out *terminal, config *usedConfig) *kong.Kong {
	return kong.Must(cli,
		kong.Name("uws"),
		kong.Description("UWS Orchestrator: a self-hosted mini-cloud of backing services."),
		kong.Writers(out.stdout, out.stderr),
		kong.Exit(func(code int) { panic(exitCode(code)) }),
		kong.Vars{"engines": besideBinary("engines"), "unitdata": unitDataDir, "wait": "10m"},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(out, config, &client.Terminal{In: os.Stdin, Out: out.stdout, Err: out.stderr, Interactive: isTerminal(os.Stdin) && isTerminal(os.Stdout)}),
		kong.ExplicitGroups([]kong.Group{{Key: "client", Title: "Commands for a running server, at UWS_URL or where uws login signed in:"},
			{Key: "server", Title: "Commands for the machine of the server:"}}),
	)
}

// isTerminal reports whether a person reads or writes a file.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// fail prints err, one line for each joined error, and returns code.
func fail(stderr io.Writer, code int, err error) int {
	for _, line := range strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }) {
		fmt.Fprintf(stderr, "uws: %s\n", clean.Line(clean.URLs(line)))
	}
	return code
}

// besideBinary returns a path in the folder of the running program, or "" if that folder is unknown.
func besideBinary(name string) string {
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(program), name)
}

type versionCommand struct{}

func (versionCommand) Run(out *terminal) error { return printVersion(out.stdout) }

// versionFlag prints the version, like the command of that name.
type versionFlag bool

// BeforeReset is called by kong before it reports a missing command.
func (versionFlag) BeforeReset(app *kong.Kong, out *terminal) error {
	err := printVersion(out.stdout)
	app.Exit(exitOK)
	return err
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command."`
}

func (c helpCommand) Run(app *kong.Kong) error {
	_, err := app.Parse(append(slices.Clone(c.Command), "--help"))
	return err
}

// commandNamed returns the top-level command with a name.
func commandNamed(name string) *kong.Node {
	app := newParser(context.Background(), &commands{}, &terminal{stdout: io.Discard, stderr: io.Discard}, &usedConfig{})
	i := slices.IndexFunc(app.Model.Children, func(c *kong.Node) bool { return c.Name == name })
	return app.Model.Children[i]
}

func printVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "uws %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
