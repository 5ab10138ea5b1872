package endpoint

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// Limits of the public listener, for requests that net/http refuses before a Handler sees them.
const (
	maxHeaderBytes    = 16 << 10         // net/http adds 4 KiB of slack, then answers 431
	readHeaderTimeout = 5 * time.Second  // from accept to the end of the header
	readTimeout       = 15 * time.Second // to the end of the body: 64 KiB over a poor line
	writeTimeout      = 30 * time.Second
	idleTimeout       = 90 * time.Second
)

// NewServer returns the HTTP server that a Handler is meant to run in: its header size and times
// are bounded, and with a certificate it speaks TLS 1.2 with authenticated encryption, or newer (RFC
// 9325, Section 4.2). The caller sets certificates, listens and shuts down.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true, // OPTIONS * is a path that does not exist
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			NextProtos: []string{"h2", "http/1.1"},
			CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are all good
				tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
				tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
				tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
				tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
				tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
				tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
			},
		},
	}
}
