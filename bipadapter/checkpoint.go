package bipadapter

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A checkpoint is a log's size and root, as the log has signed it: a note of three
// lines, in the format of C2SP's tlog-checkpoint.
type checkpoint struct {
	origin string
	size   int64
	root   tlog.Hash
	body   string // what was signed
}

const maxCheckpoint = 4 << 10

func newCheckpoint(origin string, size int64, root tlog.Hash) checkpoint {
	return checkpoint{origin, size, root, fmt.Sprintf("%s\n%d\n%s\n", origin, size, root)}
}

// A signer signs notes with an Ed25519 key.
type signer struct {
	name string
	vkey string
	key  ed25519.PrivateKey
	note.Verifier
}

func newSigner(name string, key ed25519.PrivateKey) (*signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("the key has %d bytes; an Ed25519 private key has %d", len(key), ed25519.PrivateKeySize)
	}
	public, _ := key.Public().(ed25519.PublicKey)
	vkey, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(vkey)
	if err != nil || !plain(name) {
		return nil, fmt.Errorf("%s is no name of a log: want printable text without spaces and plus signs, such as example.org/votes", clip(name))
	}
	return &signer{name: name, vkey: vkey, key: key, Verifier: v}, nil
}

// Sign implements [note.Signer].
func (s *signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

func (s *signer) sign(body string) (string, error) {
	signed, err := note.Sign(&note.Note{Text: body}, s)
	return string(signed), err
}

// openNote returns the text of a note that has the signatures of keys, in their order,
// and none besides.
func openNote(text string, keys ...note.Verifier) (body string, err error) {
	if len(text) > maxCheckpoint {
		return "", fmt.Errorf("%d bytes are more than %d", len(text), maxCheckpoint)
	}
	n, err := note.Open([]byte(text), note.VerifierList(keys...))
	if err != nil {
		return "", fmt.Errorf("no signature of %s that is right", clip(keys[0].Name()))
	}
	again := []byte(n.Text + "\n")
	right := slices.EqualFunc(n.Sigs, keys, func(sig note.Signature, key note.Verifier) bool {
		_, err := strict64(sig.Base64)
		again = fmt.Appendf(again, "— %s %s\n", sig.Name, sig.Base64)
		return err == nil && sig.Hash == key.KeyHash()
	})
	if !right || string(again) != text {
		return "", fmt.Errorf("not as %s writes it", clip(keys[0].Name()))
	}
	return n.Text, nil
}

// strict64 reads base64 in the one of its spellings that is written.
func strict64(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && base64.StdEncoding.EncodeToString(raw) != text {
		err = errors.New("line ends in base64")
	}
	return raw, err
}

// readCheckpoint reads a checkpoint that a log has signed.
func readCheckpoint(text string, key note.Verifier) (checkpoint, error) {
	body, err := openNote(text, key)
	if err != nil {
		return checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(body, "\n")
	if len(lines) != 4 {
		return checkpoint{}, errors.New("checkpoint: want three lines")
	}
	size, errSize := strconv.ParseInt(lines[1], 10, 64)
	root, errRoot := tlog.ParseHash(lines[2])
	c := newCheckpoint(key.Name(), size, root)
	if errSize != nil || errRoot != nil || size < 0 || c.body != body {
		return checkpoint{}, errors.New("checkpoint: want the log's name, its size and its root")
	}
	return c, nil
}

// A cosigner is a witness's public key: that of a note, with algorithm 4.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

const cosignatureV1 = 4 // C2SP tlog-cosignature

func cosignerHash(name string, key ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{cosignatureV1})
	h.Write(key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

func readCosigner(vkey string) (cosigner, error) {
	fail := errors.New("not a witness's public key: want NAME+HASH+BASE64 with the algorithm 4 of C2SP's cosignatures")
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 || !plain(parts[0]) || strings.Contains(parts[0], " ") {
		return cosigner{}, fail
	}
	raw, err := strict64(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != cosignatureV1 {
		return cosigner{}, fail
	}
	c := cosigner{name: parts[0], key: raw[1:]}
	c.hash = cosignerHash(c.name, c.key)
	if fmt.Sprintf("%08x", c.hash) != parts[1] {
		return cosigner{}, errors.New("not a witness's public key: the hash in it is not that of name and key")
	}
	return c, nil
}

// A cosignature is what a witness adds to a checkpoint.
type cosignature struct {
	name string
	hash uint32
	time int64 // seconds since 1970
	sig  []byte
}

const cosignaturePrefix = "— "

func readCosignature(line string) (cosignature, error) {
	fail := errors.New("cosignature: want a line such as — NAME BASE64, in the format cosignature/v1")
	rest, ok := strings.CutPrefix(line, cosignaturePrefix)
	name, text, found := strings.Cut(rest, " ")
	raw, err := strict64(text)
	if !ok || !found || !plain(name) || err != nil || len(raw) != 4+8+ed25519.SignatureSize {
		return cosignature{}, fail
	}
	c := cosignature{name: name, hash: binary.BigEndian.Uint32(raw), time: int64(binary.BigEndian.Uint64(raw[4:])), sig: raw[12:]}
	if c.time <= 0 {
		return cosignature{}, fail
	}
	return c, nil
}

// of reports whether c is w's, of a checkpoint.
func (c cosignature) of(w cosigner, at checkpoint) bool {
	return c.name == w.name && c.hash == w.hash && ed25519.Verify(w.key, cosigned(c.time, at.body), c.sig)
}

// cosigned is what a witness signs.
func cosigned(time int64, body string) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", time, body)
}

// lines returns the cosignatures that a witness has answered with.
func cosignatureLines(text string) ([]string, error) {
	var lines []string
	for line := range bytes.Lines([]byte(text)) {
		one := strings.TrimSuffix(string(line), "\n")
		if _, err := readCosignature(one); err != nil {
			return nil, err
		}
		lines = append(lines, one)
	}
	if len(lines) == 0 || len(lines) > maxCosignatures {
		return nil, fmt.Errorf("%d cosignatures; want 1 to %d", len(lines), maxCosignatures)
	}
	return lines, nil
}

const maxCosignatures = 16
