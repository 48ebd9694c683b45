package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Redis logs in with the credential password, and the credential user if there is one, and pings. An error in Redis's
// protocol is Alive, with its text. Everything else is Dead.
func Redis(ctx context.Context, t Target) Result {
	c, failed := dial(ctx, t)
	if c == nil {
		return failed
	}
	defer c.close()
	for _, ask := range []struct {
		command []string
		want    string
	}{{redisLogin(t), "+OK"}, {[]string{"PING"}, "+PONG"}} {
		line, failed := redisAsk(ctx, t, c, ask.command)
		switch {
		case failed != nil:
			return *failed
		case strings.HasPrefix(line, "-"):
			r := redisError(t, line[1:]).alive(t)
			r.DiskFull = redisFull(line)
			return r
		case line != ask.want:
			return dead(t, "answered something that is not Redis: %s", quote(t, []byte(line)))
		}
	}
	r := ok(t, "logged in, and it answers a ping")
	if t.Stats {
		c.hurry()
		r.Stats = redisStats(c)
	}
	return r
}

// redisStats returns what the server reports of itself; nothing if it fails or takes too long.
func redisStats(c *conn) []Stat {
	_, _ = c.raw.Write(redisCommand("INFO"))
	head, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(head, "$") {
		return nil
	}
	size, err := strconv.Atoi(strings.TrimRight(head[1:], "\r\n"))
	if err != nil || size < 0 || size > maxAnswer {
		return nil
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(c.in, text); err != nil {
		return nil
	}
	fields, keys := map[string]float64{}, 0.0
	for line := range strings.SplitSeq(string(text), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			fields[name] = n
		}
		var n float64
		if _, err := fmt.Sscanf(value, "keys=%f,", &n); err == nil { // of one database
			keys += n
		}
	}
	var all []Stat
	for _, s := range []struct {
		field string
		stat  Stat
	}{
		{"connected_clients", Stat{connectionsUsed, StatCount, -1}}, // without ours
		{"maxclients", Stat{connectionsMax, StatCount, 0}},
		{"used_memory", Stat{"memory_bytes", StatBytes, 0}},
	} {
		if n, ok := fields[s.field]; ok {
			s.stat.Value += n
			all = append(all, s.stat)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return append(all, Stat{"keys", StatCount, keys})
}

// redisAsk sends a command and returns the line of the answer, or the result of a probe that got none.
func redisAsk(ctx context.Context, t Target, c *conn, command []string) (string, *Result) {
	_, _ = c.raw.Write(redisCommand(command...)) // a server that refused the command early may still have answered
	line, err := redisLine(c)
	if err == nil {
		return line, nil
	}
	failed := readFailed(ctx, t, err, c.got, c.limit)
	if errors.Is(err, errNotRedis) {
		start, _ := c.in.Peek(c.in.Buffered())
		failed = dead(t, "answered something that is not Redis: %s", quote(t, start))
	}
	return "", &failed
}

func redisLogin(t Target) []string {
	if user := t.Credentials["user"]; user != "" {
		return []string{"AUTH", user, t.Credentials["password"]}
	}
	return []string{"AUTH", t.Credentials["password"]}
}

var errNotRedis = errors.New("not Redis")

// redisCommand encodes a command. The words may contain any bytes.
func redisCommand(words ...string) []byte {
	out := "*" + strconv.Itoa(len(words)) + "\r\n"
	for _, w := range words {
		out += "$" + strconv.Itoa(len(w)) + "\r\n" + w + "\r\n"
	}
	return []byte(out)
}

// redisLine reads a status or an error. If the first byte is neither, it fails without waiting for a whole line.
func redisLine(c *conn) (string, error) {
	first, err := c.in.Peek(1)
	if err != nil {
		return "", err
	}
	if first[0] != '+' && first[0] != '-' && first[0] != ':' {
		return "", errNotRedis
	}
	line, err := c.in.ReadString('\n') // limited to maxAnswer bytes
	if err != nil {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func redisError(t Target, text string) refusal {
	said := quote(t, []byte(text))
	code, _, _ := strings.Cut(text, " ")
	switch {
	case code == "WRONGPASS" || code == "NOAUTH" || code == "NOPERM" || strings.Contains(text, "without any password"):
		return login(said)
	case strings.Contains(text, "max number of clients"):
		return refusal{words: "its connections are used up: " + said}
	case code == "LOADING":
		return refusal{words: "is starting: " + said}
	case code == "MISCONF" || code == "READONLY":
		return refusal{words: "cannot write: " + said}
	}
	return refusal{words: "answers with an error: " + said}
}

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
		line, failed := redisAsk(ctx, t, c, command)
		switch {
		case failed != nil:
			return *failed
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
