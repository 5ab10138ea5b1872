package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTLS: at least 1.2, HTTP/2, and an https issuer by itself.
func TestTLS(t *testing.T) {
	c := devConfig(t)
	dir := t.TempDir()
	pool := certificate(t, dir)
	c.TLS.CertFile, c.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	s := startTest(t, c, options{})
	if want := "https://" + s.Address(); s.Issuer() != want {
		t.Errorf("the issuer is %q, want %q", s.Issuer(), want)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).PostForm(s.Issuer()+"/oauth2/token", sampleForm(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != 200 || r.ProtoMajor != 2 {
		t.Errorf("got %s over %s", r.Status, r.Proto)
	}
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", s.Address(), &tls.Config{RootCAs: pool, MinVersion: version, MaxVersion: version})
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// certificate writes a self-signed certificate for 127.0.0.1 and returns a pool that trusts it.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

// TestTLSOnTheAdminListener: where tokens for the management API arrive, nothing passes in the clear.
func TestTLSOnTheAdminListener(t *testing.T) {
	c := devConfig(t)
	dir := t.TempDir()
	pool := certificate(t, dir)
	c.TLS.CertFile, c.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	s := startTest(t, c, options{})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	https := &http.Client{Transport: transport}
	if got := status(t, https, "https://"+s.AdminAddress()+"/admin/v1/clients"); got != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got)
	}
	if got := status(t, https, "https://"+s.AdminAddress()+"/metrics"); got != http.StatusOK {
		t.Errorf("metrics from this machine: %d", got)
	}
	defer http.DefaultClient.CloseIdleConnections()
	if got := status(t, http.DefaultClient, "http://"+s.AdminAddress()+"/metrics"); got != http.StatusBadRequest {
		t.Errorf("plain http: %d", got)
	}
}
