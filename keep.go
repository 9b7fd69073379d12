package garita

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/garita/garita/app"
	"github.com/garita/garita/flow"
	"github.com/garita/garita/packet"
	"github.com/garita/garita/store"
)

// storedCerts is the bit of app.TxBase.Logged that says that the certificates
// were handed over.
const storedCerts uint8 = 1 << 7

// keep hands what rules want kept of a flow to the store: files that are
// complete, and what there is of the others once the flow has ended.
func (w *worker) keep(p *packet.Packet, f *flow.Flow[conn], ended bool) {
	st := w.e.cfg.Store
	cfg := st.Config()
	for _, tx := range f.Value.app.Transactions() {
		b := tx.Base()
		want := b.Store | f.Value.det.Store
		if cfg.All {
			want = app.DirBoth
		}
		for _, file := range b.Files {
			if cfg.Files == "" || file.ID != 0 || !file.Store && !want.Has(file.Dir) || len(file.Data) == 0 {
				continue
			}
			// The rules of its own direction may still have their say.
			if ended || file.Done && (file.Dir == w.in.Dir || file.Logged || b.Complete() && w.det.Inspected(b)) {
				w.keepFile(p, f, tx, file)
			}
		}
		if t, ok := tx.(*app.TLSTx); ok && cfg.Certs != "" && b.Store != 0 && b.Logged&storedCerts == 0 {
			if len(t.Certs[app.ToClient]) > 0 && (ended || b.Progress[app.ToClient] >= app.StageBody) {
				b.Logged |= storedCerts
				w.keepCerts(p, f, t)
			}
		}
	}
}

func (w *worker) keepFile(p *packet.Packet, f *flow.Flow[conn], tx app.Tx, file *app.File) {
	st := w.e.cfg.Store
	if !file.Hashed {
		file.SHA256 = sha256.Sum256(file.Data)
	}
	file.ID = st.NextFile()
	var info []byte
	if st.Config().Fileinfo {
		info = w.log.FileInfo(p, w.flowInfo(f), tx, file)
	}
	if !st.Keep(&store.File{ID: file.ID, SHA256: file.SHA256, Data: file.Data, Time: p.Time, Info: info}) {
		file.ID = 0
		file.Store = false // once is enough
	}
}

func (w *worker) keepCerts(p *packet.Packet, f *flow.Flow[conn], t *app.TLSTx) {
	k := &f.Key
	var b bytes.Buffer
	line := func(name string, v any) { fmt.Fprintf(&b, "%-18s %v\n", name+":", v) }
	line("TIME", time.Unix(0, p.Time).Format("01/02/2006-15:04:05.000000"))
	if p.Number != 0 {
		line("PCAP PKT NUM", p.Number)
	}
	line("SRC IP", k.SrcAddr())
	line("DST IP", k.DstAddr())
	line("PROTO", k.Proto)
	if k.Proto == packet.ProtoTCP || k.Proto == packet.ProtoUDP {
		line("SRC PORT", k.SrcPort)
		line("DST PORT", k.DstPort)
	}
	for _, x := range [...]struct {
		name  string
		field app.Field
	}{{"TLS SUBJECT", app.TLSCertSubject}, {"TLS ISSUERDN", app.TLSCertIssuer}, {"TLS FINGERPRINT", app.TLSCertFingerprint}} {
		if v, ok := t.Bytes(x.field, app.ToClient, 0); ok {
			line(x.name, oneLine(v))
		}
	}
	w.e.cfg.Store.KeepChain(&store.Chain{Certs: t.Certs[app.ToClient], Meta: b.Bytes(), Time: p.Time})
}

// oneLine is text of the network with its control characters made visible.
func oneLine(v []byte) string {
	var out []byte
	for _, c := range v {
		if c < ' ' || c == 0x7f {
			out = fmt.Appendf(out, `\x%02x`, c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}
