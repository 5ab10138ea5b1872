package jose

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"fmt"
	"strings"
)

const pemBegin = "-----BEGIN "

// parsePEMFile reads a file that begins with a PEM block.
func parsePEMFile(text []byte) (PrivateKeyFile, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return PrivateKeyFile{}, err
	}
	var parameters []byte
	if len(blocks) == 2 && blocks[0].Type == "EC PARAMETERS" && blocks[1].Type == "EC PRIVATE KEY" {
		// As openssl ecparam -genkey writes it. The key names its curve itself.
		parameters, blocks = blocks[0].Bytes, blocks[1:]
	}
	if len(blocks) > 1 {
		return PrivateKeyFile{}, tooManyBlocks(blocks)
	}
	key, err := privateKeyOf(blocks[0], parameters)
	if err != nil {
		return PrivateKeyFile{}, err
	}
	return newPrivateKeyFile(key, "", "")
}

// pemBlocks reads all of text as PEM blocks, at least one. The decoder of the standard library looks
// for a block that it can read and forgets what comes before, so that a damaged first key would make
// it return the second: here each block must begin where the last one ended.
func pemBlocks(text []byte) ([]*pem.Block, error) {
	var blocks []*pem.Block
	for rest := text; len(rest) > 0; rest = bytes.TrimLeft(rest, space) {
		if !bytes.HasPrefix(rest, []byte(pemBegin)) {
			return nil, fmt.Errorf("%w: text after the PEM block: leave the block of the private key and nothing else", ErrMalformed)
		}
		block, after := pem.Decode(rest)
		if block == nil || bytes.Count(rest[:len(rest)-len(after)], []byte(pemBegin)) != 1 {
			return nil, fmt.Errorf("%w: a damaged PEM block: base64 between the lines BEGIN and END of one name", ErrMalformed)
		}
		blocks, rest = append(blocks, block), after
	}
	return blocks, nil
}

func tooManyBlocks(blocks []*pem.Block) error {
	private := 0
	for _, b := range blocks {
		if strings.HasSuffix(b.Type, "PRIVATE KEY") {
			private++
		}
	}
	if private > 1 {
		return fmt.Errorf("%w: %d private keys in one file: leave one", ErrKey, private)
	}
	return fmt.Errorf("%w: %d PEM blocks: leave the one of the private key and nothing else, no certificate and no public key",
		ErrKey, len(blocks))
}

// privateKeyOf reads one block by its name. RFC 7468, and what came before it.
func privateKeyOf(b *pem.Block, parameters []byte) (crypto.Signer, error) {
	if b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") || b.Headers["DEK-Info"] != "" {
		return nil, fmt.Errorf("%w: the private key has a password: decrypt it first, e.g. with openssl pkey", ErrKey)
	}
	if len(b.Headers) != 0 {
		return nil, fmt.Errorf("%w: headers in the PEM block: leave the key alone", ErrMalformed)
	}
	switch b.Type {
	case "PRIVATE KEY":
		return parsePKCS8(b.Bytes)
	case "EC PRIVATE KEY":
		return parseSEC1(b.Bytes, parameters)
	case "RSA PRIVATE KEY":
		return parsePKCS1(b.Bytes)
	case "OPENSSH PRIVATE KEY":
		return nil, fmt.Errorf("%w: a key in the form of OpenSSH: convert a copy to PKCS #8 first, e.g. with ssh-keygen -p -m PKCS8 -f FILE", ErrKey)
	case "PUBLIC KEY", "RSA PUBLIC KEY", "EC PUBLIC KEY", "SSH2 PUBLIC KEY":
		return nil, errPublicOnly("PEM block of a public key")
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", "PKCS7":
		return nil, errPublicOnly("PEM block of a certificate")
	case "EC PARAMETERS":
		return nil, fmt.Errorf("%w: EC PARAMETERS alone are no key: a block EC PRIVATE KEY or PRIVATE KEY is needed", ErrKey)
	}
	return nil, fmt.Errorf("%w: another PEM block: PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY is needed", ErrKey)
}
