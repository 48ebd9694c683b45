package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/unicorn-web-services/uws/internal/clean"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/server"
)

// addressName is the file in the data folder that contains the address of the uws that serves it.
const addressName = "uws.url"

// with opens the credentials of a data folder, and calls act with the rights of the command line.
func with(ctx context.Context, dir string, act func(context.Context, *auth.Authenticator) error) error {
	st, err := store.Open(ctx, store.Options{Dir: dir, Existing: true, Key: os.Getenv(keyVariable), Shared: true})
	if err != nil {
		return err
	}
	access, err := auth.Open(ctx, auth.Options{Store: st})
	if err == nil {
		err = act(auth.With(ctx, auth.CommandLine()), access)
	}
	return errors.Join(inFlagWords(err), st.Close())
}

// inFlagWords replaces the field that an error names by the name of the flag.
func inFlagWords(err error) error {
	e, ok := errors.AsType[*orchestrator.Error](err)
	if !ok {
		return err
	}
	flags := map[string]string{"name": "--name", "role": "--role", "kinds": "--kinds", "expiresAt": "--expires-in"}
	return errors.New(e.Under(flags[e.Path]))
}

// rightsFlags are the flags for the rights of a credential.
type rightsFlags struct {
	Role  string   `default:"ADMIN" placeholder:"ROLE" help:"VIEWER can read. OPERATOR can also launch, restart and remove. ADMIN can do everything. Default: ${default}."`
	Kinds []string `placeholder:"KIND" help:"Allow only services of these kinds: BUCKET, DB, NOSQL, QUEUE, SECRETS. Not with ADMIN."`
}

func (f rightsFlags) parse() (auth.Role, []catalog.Kind, error) {
	role, err := auth.ParseRole(f.Role)
	if err != nil {
		return "", nil, err
	}
	var kinds []catalog.Kind
	for _, name := range f.Kinds {
		kind, err := catalog.ParseKind(strings.ToUpper(name))
		if err != nil {
			return "", nil, fmt.Errorf("--kinds: %w", err)
		}
		kinds = append(kinds, kind)
	}
	return role, kinds, nil
}

type loginLinkCommand struct {
	dataFlag    `embed:""`
	rightsFlags `embed:""`
	Name        string `default:"owner" help:"Name of the person who signs in. Default: ${default}."`
	URL         string `placeholder:"URL" help:"Address at which the browser reaches the server. Default: the address recorded in the data folder by uws serve."`
	Quiet       bool   `short:"q" help:"Print only the link."`
}

func (c loginLinkCommand) Run(ctx context.Context, out *terminal) error {
	role, kinds, err := c.parse()
	if err != nil {
		return err
	}
	dir, err := c.find()
	if err != nil {
		return err
	}
	url := c.URL
	if url == "" {
		if url, err = addressIn(dir); err != nil {
			return err
		}
	}
	return with(ctx, dir, func(ctx context.Context, k *auth.Authenticator) error {
		made, err := k.Do(ctx, auth.Action{
			Name: "createLoginLink", Needs: auth.Admin, Target: c.Name, Detail: map[string]any{"role": role, "kinds": kinds},
		}, func(ctx context.Context) (any, error) {
			secret, _, err := k.CreateLink(ctx, auth.LinkInput{Name: c.Name, Role: role, Kinds: kinds})
			return secret, err
		})
		if err != nil {
			return err
		}
		link := strings.TrimSuffix(url, "/") + auth.LinkPath(made.(string))
		if c.Quiet {
			_, err = fmt.Fprintln(out.stdout, link)
		} else {
			_, err = fmt.Fprintf(out.stdout, "Open this link within 15 minutes; it signs one browser in, once, as %s (%s):\n\n  %s\n\n", c.Name, role, link)
		}
		return err
	})
}

// addressIn returns the address of the uws that serves the folder, or last served it.
func addressIn(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, addressName))
	if errors.Is(err, fs.ErrNotExist) {
		return "http://" + server.DefaultListen, nil
	}
	return strings.TrimSpace(string(text)), err
}

type tokenCommands struct {
	Create tokenCreateCommand `cmd:"" help:"Create a token and print its secret, which is not shown again."`
	List   tokenListCommand   `cmd:"" help:"List the tokens."`
	Revoke tokenRevokeCommand `cmd:"" help:"Revoke a token at once."`
}

type tokenCreateCommand struct {
	dataFlag  `embed:""`
	Name      string   `required:"" help:"Name of the token; must be unique."`
	Role      string   `required:"" placeholder:"ROLE" help:"VIEWER can read. OPERATOR can also launch, restart and remove. ADMIN can do everything."`
	Kinds     []string `placeholder:"KIND" help:"Allow only services of these kinds: BUCKET, DB, NOSQL, QUEUE, SECRETS. Not with ADMIN."`
	ExpiresIn age      `placeholder:"AGE" help:"Time after which it expires, such as 30d or 12h. Default: never."`
	Quiet     bool     `short:"q" help:"Print only the secret."`
}

func (c tokenCreateCommand) Run(ctx context.Context, out *terminal) error {
	role, kinds, err := rightsFlags{Role: c.Role, Kinds: c.Kinds}.parse()
	if err != nil {
		return err
	}
	dir, err := c.find()
	if err != nil {
		return err
	}
	in := auth.TokenInput{Name: c.Name, Role: role, Kinds: kinds}
	if c.ExpiresIn != 0 {
		at := time.Now().Add(time.Duration(c.ExpiresIn))
		in.Expires = &at
	}
	return with(ctx, dir, func(ctx context.Context, k *auth.Authenticator) error {
		made, err := k.Do(ctx, auth.Action{
			Name: "createToken", Needs: auth.Admin, Target: c.Name, Detail: map[string]any{"role": role, "kinds": kinds},
		}, func(ctx context.Context) (any, error) {
			secret, _, err := k.CreateToken(ctx, in)
			return secret, err
		})
		if err != nil {
			return err
		}
		if c.Quiet {
			_, err = fmt.Fprintln(out.stdout, made)
		} else {
			_, err = fmt.Fprintf(out.stdout, "Token %q (%s) of data folder %s. Keep its secret: it is not shown again.\n\n  %s\n\nA program sends it as\n\n  Authorization: Bearer %s\n\n", c.Name, role, dir, made, made)
		}
		return err
	})
}

type tokenListCommand struct {
	dataFlag `embed:""`
}

func (c tokenListCommand) Run(ctx context.Context, out *terminal) error {
	dir, err := c.find()
	if err != nil {
		return err
	}
	return with(ctx, dir, func(ctx context.Context, k *auth.Authenticator) error {
		tokens, err := k.Tokens(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(out.stdout, 0, 0, 3, ' ', 0)
		fmt.Fprintln(table, "ID\tNAME\tROLE\tKINDS\tEXPIRES\tLAST USED")
		for _, t := range tokens {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, clean.Line(t.Name), t.Role, orWord(kindNames(t.Kinds), "all"), timeOr(t.ExpiresAt, "never"), timeOr(t.LastUsed, "never"))
		}
		return table.Flush()
	})
}

func kindNames(kinds []catalog.Kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ",")
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

func timeOr(at *time.Time, word string) string {
	if at == nil {
		return word
	}
	return at.UTC().Format(time.RFC3339)
}

type tokenRevokeCommand struct {
	dataFlag `embed:""`
	Token    string `arg:"" help:"Its id or name."`
}

func (c tokenRevokeCommand) Run(ctx context.Context, out *terminal) error {
	dir, err := c.find()
	if err != nil {
		return err
	}
	return with(ctx, dir, func(ctx context.Context, k *auth.Authenticator) error {
		_, err = k.Do(ctx, auth.Action{Name: "revokeToken", Needs: auth.Admin, Target: c.Token}, func(ctx context.Context) (any, error) {
			return nil, k.RevokeToken(ctx, c.Token)
		})
		if err == nil {
			_, err = fmt.Fprintf(out.stdout, "Token %q is revoked. Its open connections end within a second.\n", c.Token)
		}
		return err
	})
}

type auditCommand struct {
	dataFlag `embed:""`
	Verify   bool `help:"Instead of printing lines, check that no line is missing and that no archive was changed."`
}

func (c auditCommand) Run(ctx context.Context, out *terminal) error {
	dir, err := c.find()
	if err != nil {
		return err
	}
	return with(ctx, dir, func(ctx context.Context, k *auth.Authenticator) error {
		if c.Verify {
			return verifyAudit(ctx, k, out)
		}
		archives, err := k.AuditArchives(ctx)
		if err != nil {
			return err
		}
		switch n := len(archives); {
		case n == 1:
			fmt.Fprintf(out.stderr, "older entries: %s\n", clean.Line(archives[0].Path))
		case n > 1:
			fmt.Fprintf(out.stderr, "older entries: %s to %s (%d archives)\n", clean.Line(archives[0].Path), clean.Line(filepath.Base(archives[n-1].Path)), n)
		}
		lines := json.NewEncoder(clean.JSONWriter{W: out.stdout})
		return k.Export(ctx, func(e *auth.Entry) error { return lines.Encode(e) })
	})
}

// verifyAudit prints the problems of the audit log, and fails if there are any.
func verifyAudit(ctx context.Context, k *auth.Authenticator, out *terminal) error {
	report, err := k.VerifyAudit(ctx)
	if err != nil {
		return err
	}
	for _, text := range append(report.Problems, report.Notes...) {
		fmt.Fprintln(out.stdout, clean.Line(text))
	}
	if n := len(report.Problems); n > 0 {
		return fmt.Errorf("the audit log is not intact (problems: %d)", n)
	}
	fmt.Fprintf(out.stdout, "The audit log is intact: %d lines in the log, %d in archives (%d).\n", report.Kept, report.Archived, len(report.Archives))
	if report.Chain != "" {
		fmt.Fprintf(out.stdout, "Checkpoint: %s\n", report.Chain)
	}
	return nil
}
