package eve

import (
	"github.com/garita/garita/app"
)

// ftpCommands are the commands that Suricata knows by name; a transaction of
// another one is shown without it.
var ftpCommands = [...]string{
	"ABOR", "ACCT", "ALLO", "APPE", "AUTH", "CDUP", "CHMOD", "CWD", "DELE", "EPRT", "EPSV", "HELP", "IDLE", "LIST",
	"MAIL", "MDTM", "MKD", "MLFL", "MODE", "MRCP", "MRSQ", "MSAM", "MSND", "MSOM", "NLST", "NOOP", "PASS", "PASV",
	"PORT", "PWD", "QUIT", "REIN", "REST", "RETR", "RMD", "RNFR", "RNTO", "SITE", "SIZE", "SMNT", "STAT", "STOR",
	"STOU", "STRU", "SYST", "TYPE", "UMASK", "USER",
}

func ftpCommand(b []byte) string {
	for _, c := range ftpCommands {
		if len(c) == len(b) && equalFold(b, c) {
			return c
		}
	}
	return ""
}

// equalFold compares ASCII letters without case; s is in capitals.
func equalFold(b []byte, s string) bool {
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 32
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

func ftpObject(o *object, t *app.FTPTx) {
	o.open("ftp")
	command := ftpCommand(t.Command)
	if command != "" {
		o.str("command", command)
		if len(t.Data) > 0 {
			o.bytes("command_data", t.Data)
			o.bool("command_truncated", hasEvent(&t.TxBase, "request_command_too_long"))
		}
	}
	if len(t.Codes) > 0 {
		o.strings("completion_code", t.Codes)
	}
	if len(t.Replies) > 0 {
		o.strings("reply", t.Replies)
	}
	if t.Port != 0 {
		o.uint("dynamic_port", uint64(t.Port))
	}
	if command == "PORT" || command == "EPRT" {
		if t.Port != 0 {
			o.str("mode", "active")
		} else {
			o.str("mode", "passive")
		}
	}
	if len(t.Replies) > 0 {
		o.str("reply_received", "yes")
	} else {
		o.str("reply_received", "no")
	}
	o.bool("reply_truncated", hasEvent(&t.TxBase, "response_command_too_long"))
	o.close()
}

func hasEvent(b *app.TxBase, e app.Event) bool {
	for _, x := range b.Events {
		if x == e {
			return true
		}
	}
	return false
}

func ftpDataObject(o *object, t *app.FTPDataTx) {
	o.open("ftp_data")
	if len(t.Files) > 0 && len(t.Files[0].Name) > 0 {
		o.bytes("filename", t.Files[0].Name)
	}
	switch t.Command {
	case app.FTPStore:
		o.str("command", "STOR")
	case app.FTPRetrieve:
		o.str("command", "RETR")
	}
	o.close()
}
