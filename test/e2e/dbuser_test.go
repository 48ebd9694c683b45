package e2e

import (
	"strings"
	"testing"

	"github.com/unicorn-web-services/uws/test/stories"
)

// The user of a database owns it and is not a superuser. Rotation replaces a password that the user changed.
func TestDatabaseUser(t *testing.T) {
	p := serve(t, folder(t))
	s := launch(t, p, "DB", "accounts", nil)
	stories.DatabaseUser(t, p, s)
	fresh := rotate(t, p, s.ID)
	c, err := stories.PostgresConnect(t.Context(), s.Endpoint, fresh)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// The user of Redis can use the data commands, but none that access files or lock uws out.
func TestRedisUser(t *testing.T) {
	ctx, p := t.Context(), serve(t, folder(t))
	s := launch(t, p, "NOSQL", "cache", map[string]any{"template": "redis"})
	c, err := stories.RedisConnect(s.Endpoint, reveal(t, p, s.ID))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, command := range []string{"SET cat meow", "KEYS *", "EVAL return(1) 0", "CONFIG GET maxmemory", "INFO", "CLIENT LIST", "FLUSHALL"} {
		if err := c.Do(ctx, words(command)...).Err(); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	for _, command := range []string{
		"CONFIG SET dir /tmp", "CONFIG SET requirepass x", "CONFIG REWRITE", "MODULE LIST", "MODULE LOAD /tmp/x.so", "ACL SETUSER default nopass",
		"ACL LIST", "REPLICAOF 127.0.0.1 1", "SLAVEOF 127.0.0.1 1", "SHUTDOWN NOSAVE", "BGSAVE", "SYNC", "FAILOVER",
	} {
		if err := c.Do(ctx, words(command)...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("%s: %v; want a refusal", command, err)
		}
	}
}

func words(command string) []any {
	var all []any
	for _, w := range strings.Fields(command) {
		all = append(all, w)
	}
	return all
}
