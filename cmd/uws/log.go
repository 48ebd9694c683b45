package main

import (
	"io"
	"log/slog"
)

// logFlags say what is logged, and how.
type logFlags struct {
	LogLevel  string `enum:"debug,info,warn,error" default:"info" env:"UWS_LOG_LEVEL" help:"The least important messages to log: ${enum}."`
	LogFormat string `enum:"text,json" default:"text" env:"UWS_LOG_FORMAT" help:"How to log: ${enum}."`
}

func (f logFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // kong lets only known levels pass
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
