package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/unicorn-web-services/uws/cmd/uws/client/api"
)

type loginCommand struct {
	URL string `arg:"" optional:"" default:"http://127.0.0.1:8080" help:"Address of the server. Default: ${default}."`
}

// Help implements [kong.HelpProvider].
func (loginCommand) Help() string {
	return "The token is read from UWS_TOKEN, else from standard input. It is stored readable by you alone.\n\nExample: uws token create --name me --quiet | uws login"
}

func (c loginCommand) Run(ctx context.Context, out *Terminal) error {
	token := os.Getenv("UWS_TOKEN")
	if token == "" {
		if out.Interactive {
			fmt.Fprint(out.Err, "Token (`uws token create` on the server makes one): ")
		}
		line, err := bufio.NewReader(out.In).ReadString('\n')
		if err != nil && line == "" {
			return errors.New("no token was given: set UWS_TOKEN, or write it to standard input")
		}
		token = strings.TrimSpace(line)
	}
	s, err := newServer(c.URL, token)
	if err != nil {
		return err
	}
	me, err := api.Me(ctx, s.api())
	if err != nil {
		return explain(err)
	}
	if s.plaintext() {
		fmt.Fprintln(out.Err, "uws: warning: the connection is not encrypted: anyone who can read the network traffic can read the token")
	}
	if err := (settings{URL: s.base.String(), Token: token}).write(); err != nil {
		return err
	}
	out.Printf("Signed in to %s as %s (%s).\n", s.base, me.Viewer.Name, me.Viewer.Role)
	return nil
}

func (s settings) write() error {
	path, err := settingsPath()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "client-*") // which is readable by its owner alone
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(raw, '\n'))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("storing the token: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

type logoutCommand struct{}

func (logoutCommand) Run(out *Terminal) error {
	path, err := settingsPath()
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out.Printf("The stored token is deleted. It stays valid: `uws token revoke` ends it.\n")
	return nil
}
