package main

import (
	"io"
	"log/slog"

	"github.com/unicorn-web-services/uws/internal/clean"
)

// logFlags are the flags for the level and format of logs.
type logFlags struct {
	LogLevel  string `enum:"debug,info,warn,error" default:"info" env:"UWS_LOG_LEVEL" help:"Lowest level of messages to log: ${enum}."`
	LogFormat string `enum:"text,json" default:"text" env:"UWS_LOG_FORMAT" help:"Format of the log: ${enum}."`
}

func (f logFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // kong has checked the level
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: withoutSecrets}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(clean.JSONWriter{W: w}, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// withoutSecrets hides the secrets of URLs in log attributes.
func withoutSecrets(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		return slog.String(a.Key, clean.URLs(v))
	case error:
		return slog.String(a.Key, clean.URLs(v.Error()))
	}
	return a
}
