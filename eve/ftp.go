package eve

import (
	"github.com/garita/garita/app"
)

func ftpObject(o *object, t *app.FTPTx) {
	o.open("ftp")
	if t.Command != nil {
		o.key("command")
		o.b = append(o.b, '"')
		at := len(o.b)
		o.b = appendString(o.b[:at-1], t.Command)
		for i := at; i < len(o.b); i++ {
			if c := o.b[i]; c >= 'a' && c <= 'z' && o.b[i-1] != '\\' {
				o.b[i] = c - 32
			}
		}
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
		if t.Passive {
			o.str("mode", "passive")
		} else {
			o.str("mode", "active")
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
