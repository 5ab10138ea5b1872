package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/marque-auth/marque/authz/admin/internal/api"
)

// Why there is no backup.
var (
	// ErrNoBackup says that the store is none of which the server can give a backup.
	ErrNoBackup = errors.New("admin: the store is not embedded")
	// ErrNoRoom says that the server's disk has no room for the copy.
	ErrNoRoom = errors.New("admin: no room for a copy of the store")
	// ErrBackups says that as many backups are being taken as may be at a time.
	ErrBackups = errors.New("admin: too many backups at a time")
)

// Backup is a copy of the store, of that many octets, which is gone when it is closed.
type Backup struct {
	io.ReadCloser
	Size int64
}

// A caller who takes less than backupPiece in backupPatience is cut off: his copy takes room on the server's disk.
const (
	backupPiece    = 256 << 10 // octets
	backupPatience = 30 * time.Second
	backupsAgain   = 30 * time.Second // when to ask again, where there are too many at a time
)

// GetBackup copies the store, and gives the copy out. Whoever calls is on the socket: see operation.local.
func (h *handler) GetBackup(ctx context.Context, _ api.GetBackupRequestObject) (api.GetBackupResponseObject, error) {
	b, err := h.backup(ctx, origin(ctx))
	if err != nil {
		return nil, err
	}
	return &backupReply{b, func(id string, err error) {
		h.log.WarnContext(ctx, "a backup was not taken to its end", "request_id", id, "err", err)
	}}, nil
}

// backupReply gives a backup out by pieces, so that it may take longer than any other answer.
type backupReply struct {
	b      Backup
	broken func(requestID string, err error)
}

// VisitGetBackupResponse implements api.GetBackupResponseObject. A backup that ends too early must not look like
// one: after an error the connection goes, and nothing is said on it.
func (r *backupReply) VisitGetBackupResponse(w http.ResponseWriter) error {
	err := api.GetBackup200ApplicationOctetStreamResponse{
		Body:          &pieces{r.b, http.NewResponseController(w)},
		Headers:       api.GetBackup200ResponseHeaders{ContentLength: r.b.Size},
		ContentLength: r.b.Size,
	}.VisitGetBackupResponse(w)
	if err != nil {
		r.broken(requestID(w), err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// pieces gives the answer more time with each piece that it reads for it.
type pieces struct {
	Backup
	to *http.ResponseController
}

// Read implements io.Reader.
func (p *pieces) Read(b []byte) (int, error) {
	if err := p.to.SetWriteDeadline(time.Now().Add(backupPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.ReadCloser.Read(b[:min(len(b), backupPiece)])
}
