package main

import (
	"io"
	"log/slog"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/configs"
)

// newLog returns the log that the configuration asks for. Whatever looks like a client secret is cut
// out of every line, wherever it came from.
func newLog(w io.Writer, c configs.LogConfig) *slog.Logger {
	level := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}[c.Level]
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: redactAttr}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func redactAttr(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(authz.Redact(a.Value.String()))
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(authz.Redact(err.Error()))
		}
	default:
	}
	return a
}
