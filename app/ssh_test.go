package app

import (
	"encoding/binary"
	"testing"
)

func sshPacket(code byte, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(2+len(body)+4))
	return string(append(append(b, 4, code), body...)) + "\x00\x00\x00\x00"
}

func sshKexinit(lists ...string) string {
	b := make([]byte, 16)
	for _, l := range lists {
		b = binary.BigEndian.AppendUint32(b, uint32(len(l)))
		b = append(b, l...)
	}
	return sshPacket(20, string(append(b, 0, 0, 0, 0, 0)))
}

func sshTalk() []piece {
	return []piece{
		tc("SSH-2.0-OpenSSH_9.6p1 Ubuntu-3\r\n"),
		ts("SSH-2.0-libssh_0.6.3\r\n" + sshKexinit("k1,k2", "h", "ec", "es", "mc", "ms", "cc", "cs", "", "")),
		tc(sshKexinit("k1,k2", "h", "ec", "es", "mc", "ms", "cc", "cs", "", "")),
		ts(sshPacket(30, "dh") + sshPacket(21, "") + "cipher text"),
		tc(sshPacket(31, "dh") + sshPacket(21, "") + "cipher text"),
	}
}

func TestSSH(t *testing.T) {
	c := talk(SSH, sshTalk(), false, whole)
	for _, x := range []struct {
		f    Field
		d    Dir
		want string
	}{
		{SSHProto, ToServer, "2.0"},
		{SSHSoftware, ToServer, "libssh_0.6.3"},
		{SSHSoftware, ToClient, "OpenSSH_9.6p1"},
		{SSHHasshString, ToServer, "k1,k2;ec;mc;cc"},
		{SSHHasshServerString, ToClient, "k1,k2;es;ms;cs"},
		{SSHHassh, ToServer, string(md5Hex([]byte("k1,k2;ec;mc;cc")))},
	} {
		if got := field(t, c, 0, x.f, x.d, 0); got != x.want {
			t.Errorf("%v = %q, want %q", x.f, got, x.want)
		}
	}
	if !c.Encrypted() || !c.Done() {
		t.Error("the connection does not say that it is encrypted")
	}
	if e := c.Transactions()[0].Base().Events; len(e) != 0 {
		t.Errorf("events %v", e)
	}
	c = talk(SSH, []piece{tc("welcome\r\nSSH-2.0-x\r\n")}, false, whole)
	if e := c.Transactions()[0].Base().Events; len(e) != 1 || e[0] != sshInvalidBanner || !c.Broken() {
		t.Errorf("events %v, want %v for a line before the banner", e, sshInvalidBanner)
	}
	checkLaws(t, SSH, sshTalk())
}

func TestSSHLongBanner(t *testing.T) {
	say := []piece{ts("SSH-2.0-" + string(make([]byte, 400)) + "\n" + sshPacket(21, ""))}
	c := talk(SSH, say, false, whole)
	if e := c.Transactions()[0].Base().Events; len(e) == 0 || e[0] != sshLongBanner {
		t.Errorf("events %v, want %v", e, sshLongBanner)
	}
	checkLaws(t, SSH, say)
}

func FuzzSSH(f *testing.F) { fuzzStream(f, SSH, sshTalk()) }
