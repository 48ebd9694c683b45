package probe

import (
	"context"
	"errors"
	"strings"
)

// writeRedis sets a key and deletes it. Redis writes to the append-only file before it answers. If that write fails, it
// refuses the following commands. A key that is left behind expires.
func writeRedis(ctx context.Context, t Target) Result {
	c, failed := dial(ctx, t)
	if c == nil {
		return failed
	}
	defer c.close()
	for _, command := range [][]string{
		redisLogin(t),
		{"SET", writeName, string(incompressible()), "EX", "60"},
		{"DEL", writeName},
		{"SET", writeName, "", "PX", "1"}, // an error of the append-only file shows in the next command
	} {
		_, _ = c.raw.Write(redisCommand(command...)) // a server that refused the command early may still have answered
		line, err := redisLine(c)
		switch {
		case errors.Is(err, errNotRedis):
			start, _ := c.in.Peek(c.in.Buffered())
			return dead(t, "answered something that is not Redis: %s", quote(t, start))
		case err != nil:
			return readFailed(ctx, t, err, c.got, c.limit)
		case strings.HasPrefix(line, "-NOPERM"), strings.HasPrefix(line, "-READONLY"):
			return notAsked(t, "%s", redisError(t, line[1:]).words)
		case strings.HasPrefix(line, "-"):
			return refusedWrite(t, redisFull(line), redisError(t, line[1:]).words)
		}
	}
	return wrote(t)
}

// redisFull reports whether an error says that the disk is full.
func redisFull(line string) bool {
	return strings.HasPrefix(line, "-MISCONF") && strings.Contains(line, "No space left")
}
