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

	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/access"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/store"
	"github.com/unicorn-web-services/uws/server"
)

// addressName is the file in the data folder with the address of the uws that serves it.
const addressName = "uws.url"

// dataFlag names the folder that a short command works on, whether or not a uws serves it.
type dataFlag struct {
	DataDir string `default:"./data" placeholder:"DIR" env:"UWS_DATA_DIR" help:"The data folder. Default: ${default}."`
}

// with opens the folder's credentials, and acts as whoever can read it.
func (d dataFlag) with(ctx context.Context, act func(context.Context, *access.Keeper) error) error {
	st, err := store.Open(ctx, store.Options{Dir: d.DataDir, Key: os.Getenv(keyVariable), Shared: true})
	if err != nil {
		return err
	}
	keeper, err := access.Open(ctx, access.Options{Store: st})
	if err == nil {
		err = act(access.With(ctx, access.CommandLine()), keeper)
	}
	return errors.Join(inFlagWords(err), st.Close())
}

// inFlagWords names flags where the API names fields.
func inFlagWords(err error) error {
	e, ok := errors.AsType[*orchestrator.Error](err)
	if !ok {
		return err
	}
	return errors.New(strings.NewReplacer("input.expiresAt", "--expires-in", "input.", "--").Replace(e.Message))
}

// rightsFlags say what a credential may do.
type rightsFlags struct {
	Role  string   `default:"ADMIN" placeholder:"ROLE" help:"VIEWER reads; OPERATOR launches, restarts and removes too; ADMIN may do everything. Default: ${default}."`
	Kinds []string `placeholder:"KIND,…" help:"Limit it to services of these kinds: BUCKET, DB, NOSQL, QUEUE, SECRETS. Not with ADMIN."`
}

func (f rightsFlags) parse() (access.Role, []catalog.Kind, error) {
	role, err := access.ParseRole("--role", f.Role)
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
	Name        string `default:"owner" help:"Whose browser it is. Default: ${default}."`
	URL         string `placeholder:"URL" help:"Address of the server as the browser reaches it. Default: the one that the uws serving the folder wrote down."`
	Quiet       bool   `short:"q" help:"Print the link alone."`
}

func (c loginLinkCommand) Run(ctx context.Context, out *terminal) error {
	role, kinds, err := c.parse()
	if err != nil {
		return err
	}
	url := c.URL
	if url == "" {
		if url, err = c.address(); err != nil {
			return err
		}
	}
	return c.with(ctx, func(ctx context.Context, k *access.Keeper) error {
		made, err := k.Do(ctx, access.Action{
			Name: "createLoginLink", Needs: access.Admin, Target: c.Name, Detail: map[string]any{"role": role, "kinds": kinds},
		}, func(ctx context.Context) (any, error) {
			secret, _, err := k.CreateLink(ctx, access.LinkInput{Name: c.Name, Role: role, Kinds: kinds})
			return secret, err
		})
		if err != nil {
			return err
		}
		link := strings.TrimSuffix(url, "/") + access.LinkPath(made.(string))
		if c.Quiet {
			_, err = fmt.Fprintln(out.stdout, link)
		} else {
			_, err = fmt.Fprintf(out.stdout, "Open this link within 15 minutes; it signs one browser in, once, as %s (%s):\n\n  %s\n\n", c.Name, role, link)
		}
		return err
	})
}

// address is that of the uws that serves the folder, or did.
func (c loginLinkCommand) address() (string, error) {
	text, err := os.ReadFile(filepath.Join(c.DataDir, addressName))
	if errors.Is(err, fs.ErrNotExist) {
		return "http://" + server.DefaultListen, nil
	}
	return strings.TrimSpace(string(text)), err
}

type tokenCommands struct {
	Create tokenCreateCommand `cmd:"" help:"Make a token, and print its secret: it is not to be had again."`
	List   tokenListCommand   `cmd:"" help:"List the tokens."`
	Revoke tokenRevokeCommand `cmd:"" help:"End a token at once."`
}

type tokenCreateCommand struct {
	dataFlag  `embed:""`
	Name      string        `required:"" help:"What it is for; unique."`
	Role      string        `required:"" placeholder:"ROLE" help:"VIEWER reads; OPERATOR launches, restarts and removes too; ADMIN may do everything."`
	Kinds     []string      `placeholder:"KIND,…" help:"Limit it to services of these kinds: BUCKET, DB, NOSQL, QUEUE, SECRETS. Not with ADMIN."`
	ExpiresIn time.Duration `placeholder:"AGE" help:"End it after this time, such as 720h for 30 days. Default: never."`
	Quiet     bool          `short:"q" help:"Print the secret alone."`
}

func (c tokenCreateCommand) Run(ctx context.Context, out *terminal) error {
	role, kinds, err := rightsFlags{Role: c.Role, Kinds: c.Kinds}.parse()
	if err != nil {
		return err
	}
	in := access.TokenInput{Name: c.Name, Role: role, Kinds: kinds}
	if c.ExpiresIn != 0 {
		at := time.Now().Add(c.ExpiresIn)
		in.Expires = &at
	}
	return c.with(ctx, func(ctx context.Context, k *access.Keeper) error {
		made, err := k.Do(ctx, access.Action{
			Name: "createToken", Needs: access.Admin, Target: c.Name, Detail: map[string]any{"role": role, "kinds": kinds},
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
			_, err = fmt.Fprintf(out.stdout, "Token %q (%s). Keep its secret, it is not to be had again:\n\n  %s\n\nA program sends it as\n\n  Authorization: Bearer %s\n\n", c.Name, role, made, made)
		}
		return err
	})
}

type tokenListCommand struct {
	dataFlag `embed:""`
}

func (c tokenListCommand) Run(ctx context.Context, out *terminal) error {
	return c.with(ctx, func(ctx context.Context, k *access.Keeper) error {
		tokens, err := k.Tokens(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(out.stdout, 0, 0, 3, ' ', 0)
		fmt.Fprintln(table, "ID\tNAME\tROLE\tKINDS\tEXPIRES\tLAST USED")
		for _, t := range tokens {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.Role, orWord(kindNames(t.Kinds), "all"), timeOr(t.ExpiresAt, "never"), timeOr(t.LastUsed, "never"))
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
	return c.with(ctx, func(ctx context.Context, k *access.Keeper) error {
		_, err := k.Do(ctx, access.Action{Name: "revokeToken", Needs: access.Admin, Target: c.Token}, func(ctx context.Context) (any, error) {
			return nil, k.RevokeToken(ctx, c.Token)
		})
		if err == nil {
			_, err = fmt.Fprintf(out.stdout, "Token %q is revoked; what was open with it ends within a second.\n", c.Token)
		}
		return err
	})
}

type auditCommand struct {
	dataFlag `embed:""`
}

func (c auditCommand) Run(ctx context.Context, out *terminal) error {
	return c.with(ctx, func(ctx context.Context, k *access.Keeper) error {
		lines := json.NewEncoder(out.stdout)
		return k.Export(ctx, func(e *access.Entry) error { return lines.Encode(e) })
	})
}
