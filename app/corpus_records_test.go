package app

import (
	"fmt"
	"strings"
	"testing"
)

func list(r eveRecord, path ...string) []string {
	var v any = map[string]any(r)
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	l, _ := v.([]any)
	var out []string
	for _, x := range l {
		out = append(out, fmt.Sprint(x))
	}
	return out
}

func texts(b [][]byte) []string {
	var out []string
	for _, x := range b {
		out = append(out, string(x))
	}
	return out
}

func TestJudgeSSH(t *testing.T) {
	judgeRecords(t, SSH, "ssh", func(tx Tx) []string {
		m := tx.(*SSHTx)
		c, s := m.Side[0], m.Side[1]
		return []string{fmt.Sprintf("%s %s %s %s / %s %s %s %s", c.Proto, c.Software, c.Hassh, c.HasshString, s.Proto, s.Software, s.Hassh, s.HasshString)}
	}, func(r eveRecord) []string {
		side := func(d string) string {
			return r.str("ssh", d, "proto_version") + " " + r.str("ssh", d, "software_version") + " " + r.str("ssh", d, "hassh", "hash") + " " + r.str("ssh", d, "hassh", "string")
		}
		return []string{side("client") + " / " + side("server")}
	})
}

func TestJudgeSMTP(t *testing.T) {
	judgeRecords(t, SMTP, "smtp", func(tx Tx) []string {
		m := tx.(*SMTPTx)
		var names []string
		for _, f := range m.Files {
			names = append(names, string(f.Name))
		}
		return []string{fmt.Sprintf("%s %s %v from=%s to=%v cc=%v urls=%v files=%v", m.Helo, m.MailFrom, texts(m.RcptTo),
			m.From, texts(m.To), texts(m.CC), texts(m.URLs), names)}
	}, func(r eveRecord) []string {
		return []string{fmt.Sprintf("%s %s %v from=%s to=%v cc=%v urls=%v files=%v", r.str("smtp", "helo"), r.str("smtp", "mail_from"),
			list(r, "smtp", "rcpt_to"), r.str("email", "from"), list(r, "email", "to"), list(r, "email", "cc"), list(r, "email", "url"), list(r, "email", "attachment"))}
	})
}

func TestJudgeFTP(t *testing.T) {
	judgeRecords(t, FTP, "ftp", func(tx Tx) []string {
		m := tx.(*FTPTx)
		return []string{fmt.Sprintf("%s %s %v %d", strings.ToUpper(string(m.Command)), m.Data, texts(m.Codes), m.Port)}
	}, func(r eveRecord) []string {
		port := r.str("ftp", "dynamic_port")
		if port == "" {
			port = "0"
		}
		return []string{fmt.Sprintf("%s %s %v %s", r.str("ftp", "command"), r.str("ftp", "command_data"), list(r, "ftp", "completion_code"), port)}
	})
}

// judgeFiles compares names and sizes of files.
func judgeFiles(t *testing.T, proto Proto) {
	dirs, _ := judgeDirs(t)
	_ = dirs
	judgeRecords(t, proto, "fileinfo", func(tx Tx) []string {
		var out []string
		for _, f := range tx.Base().Files {
			if f.Total > 0 {
				out = append(out, fmt.Sprintf("%s %d", f.Name, f.Total))
			}
		}
		return out
	}, func(r eveRecord) []string {
		if r.str("app_proto") != proto.String() {
			return nil
		}
		return []string{r.str("fileinfo", "filename") + " " + r.str("fileinfo", "size")}
	})
}

func TestJudgeFilesSMTP(t *testing.T)    { judgeFiles(t, SMTP) }
func TestJudgeFilesFTPData(t *testing.T) { judgeFiles(t, FTPData) }

func TestJudgeQUIC(t *testing.T) {
	judgeRecords(t, QUIC, "quic", func(tx Tx) []string {
		m := tx.(*QUICTx)
		s, _ := m.JA3()
		return []string{fmt.Sprintf("%s sni=%s ua=%s cyu=%s ja3=%s", m.VersionName(), m.SNI, m.UserAgent, m.CYU, s)}
	}, func(r eveRecord) []string {
		cyu := ""
		if q, ok := r["quic"].(map[string]any); ok {
			if l, ok := q["cyu"].([]any); ok && len(l) > 0 {
				cyu = eveRecord(l[0].(map[string]any)).str("string")
			}
		}
		return []string{fmt.Sprintf("%s sni=%s ua=%s cyu=%s ja3=%s", r.str("quic", "version"), r.str("quic", "sni"), r.str("quic", "ua"), cyu,
			r.str("quic", "ja3", "string")+r.str("quic", "ja3s", "string"))}
	})
}
