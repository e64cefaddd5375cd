// What starts programs, or lets somebody in, without anybody asking again: the places, by the mechanism that reads them.
import type { FileGroup } from '../files/find.ts';

const FILE_BYTES = 16 * 1024 * 1024;
/** Some are Go programs of 60 MiB and more. */
const PLUGIN_BYTES = 160 * 1024 * 1024;

export const GROUPS: readonly FileGroup[] = [
  // crond, atd and anacron run these as whoever owns or is named in them
  group(
    'cron',
    `/etc/crontab /etc/cron.*/** /etc/crontabs/** /etc/anacrontab /etc/at.* /etc/cron.allow /etc/cron.deny
     /var/spool/cron/** /var/spool/anacron/** /var/spool/at/**`,
  ),
  // systemd.unit(5): the load path, of the system and of each user; systemd.generator(7) makes units at boot
  group(
    'systemd unit',
    `/etc/systemd/system/** /etc/systemd/user/** /run/systemd/system/** /run/systemd/transient/**
     /run/systemd/user/** /usr/local/lib/systemd/** /usr/lib/systemd/system/** /lib/systemd/system/**
     /etc/systemd/system.control/** /run/systemd/system.control/** /etc/systemd/system.attached/**
     /run/systemd/system.attached/** /etc/xdg/systemd/user/** /var/lib/systemd/linger/* ~/.config/systemd/user.control/**
     /usr/lib/systemd/user/** /lib/systemd/user/** ~/.config/systemd/user/** ~/.local/share/systemd/user/**`,
  ),
  group(
    'systemd generator',
    `/run/systemd/generator*/** /etc/systemd/system-generators/** /etc/systemd/user-generators/**
     /run/systemd/system-generators/** /usr/lib/systemd/system-generators/** /lib/systemd/system-generators/**
     /usr/lib/systemd/user-generators/** /usr/lib/systemd/system-environment-generators/**
     /usr/lib/systemd/user-environment-generators/**`,
  ),
  group(
    'systemd configuration',
    `/etc/systemd/*.conf /etc/systemd/*.conf.d/** /usr/lib/systemd/system-sleep/**
     /usr/lib/systemd/system-shutdown/** /lib/systemd/system-sleep/** /lib/systemd/system-shutdown/**
     /etc/tmpfiles.d/** /etc/sysusers.d/** /etc/environment.d/**`,
  ),
  group(
    'init script',
    `/etc/rc.local /etc/rc.d/** /etc/init.d/** /etc/rc*.d/** /etc/inittab /etc/init/** /etc/local.d/** /etc/conf.d/**
     /etc/default/** /etc/sysconfig/**`,
  ),
  group(
    'shell start-up',
    `/etc/profile /etc/profile.d/** /etc/bash.bashrc /etc/bashrc /etc/bash_completion.d/** /etc/zsh/** /etc/zshrc
     /etc/zshenv /etc/zprofile /etc/csh.cshrc /etc/csh.login /etc/fish/** /etc/skel/** /etc/inputrc /etc/shells
     ~/.profile ~/.bashrc ~/.bash_profile ~/.bash_login ~/.bash_logout ~/.bash_aliases ~/.zshrc ~/.zshenv ~/.zprofile
     ~/.zlogin ~/.zlogout ~/.kshrc ~/.cshrc ~/.tcshrc ~/.login ~/.logout ~/.inputrc ~/.config/fish/config.fish
     ~/.config/fish/conf.d/** ~/.config/environment.d/** ~/.pam_environment ~/.xprofile ~/.xinitrc ~/.xsession*
     ~/.selected_editor ~/.vimrc`,
  ),
  // ld.so(8): a library in every program that starts
  group(
    'dynamic linker',
    `/etc/ld.so.preload /etc/ld.so.conf /etc/ld.so.conf.d/** /etc/environment /etc/ld-musl-*.path`,
  ),
  // pam.d(5), and the modules that stand where PAM looks for them
  group(
    'PAM',
    `/etc/pam.d/** /etc/pam.conf /etc/security/** /lib/security/** /lib64/security/** /usr/lib64/security/**
     /usr/lib/security/** /usr/lib/*-linux-gnu*/security/**`,
  ),
  group(
    'sudo',
    `/etc/sudoers /etc/sudoers.d/** /etc/sudo.conf /etc/doas.conf /etc/doas.d/** /etc/polkit-1/rules.d/**
     /etc/polkit-1/localauthority/** /usr/share/polkit-1/rules.d/**`,
  ),
  group(
    'accounts',
    `/etc/passwd /etc/passwd- /etc/shadow /etc/shadow- /etc/group /etc/group- /etc/gshadow /etc/gshadow- /etc/subuid
     /etc/subgid /etc/login.defs /etc/nsswitch.conf /etc/securetty /etc/hosts.allow /etc/hosts.deny
     /etc/sssd/sssd.conf /etc/krb5.conf ~/.k5login ~/.rhosts ~/.shosts /etc/hosts.equiv`,
  ),
  // public host keys tell which machine was spoken to; private ones prove nothing that these do not, and are left alone
  group(
    'ssh',
    `/etc/ssh/sshd_config /etc/ssh/sshd_config.d/** /etc/ssh/ssh_config /etc/ssh/ssh_config.d/** /etc/ssh/*.pub
     /etc/ssh/ssh_known_hosts /etc/ssh/authorized_keys* /etc/ssh/authorized_keys*/** /etc/ssh/sshrc /etc/ssh/moduli
     ~/.ssh/authorized_keys* ~/.ssh/known_hosts* ~/.ssh/config ~/.ssh/config.d/** ~/.ssh/rc ~/.ssh/environment
     ~/.ssh/*.pub`,
  ),
  // static pods run whatever the API server says; the kubelet reads the rest at its start
  group(
    'kubernetes',
    `/etc/kubernetes/** /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env /var/lib/kubelet/kubeconfig
     /var/lib/kubelet/config.json /var/lib/kubelet/instance-config.yaml /etc/default/kubelet /etc/sysconfig/kubelet
     /etc/eks/** /etc/rancher/** /var/lib/rancher/k3s/server/manifests/** /var/lib/rancher/k3s/agent/pod-manifests/**
     /var/lib/rancher/rke2/server/manifests/** /var/lib/rancher/rke2/agent/pod-manifests/** /etc/k0s/**
     /var/snap/microk8s/current/args/** /usr/libexec/kubernetes/kubelet-plugins/**`,
  ),
  // each pod's network is made by these programs, as root; the kubelet's credentials likewise
  {
    ...group('CNI', '/etc/cni/net.d/** /opt/cni/bin/* /usr/lib/cni/* /usr/libexec/cni/*'),
    fileBytes: PLUGIN_BYTES,
  },
  group(
    'container engine',
    `/etc/containerd/** /etc/docker/** /etc/crio/** /etc/containers/** /etc/cdi/** /etc/nri/** /opt/nri/plugins/*
     /etc/runc/** /usr/share/containers/oci/hooks.d/** /etc/crictl.yaml ~/.docker/config.json ~/.config/containers/**`,
  ),
  group('udev rule', '/etc/udev/** /run/udev/rules.d/** /usr/lib/udev/rules.d/** /lib/udev/rules.d/**'),
  group(
    'kernel module configuration',
    `/etc/modules /etc/modules-load.d/** /usr/lib/modules-load.d/** /run/modules-load.d/** /etc/modprobe.d/**
     /usr/lib/modprobe.d/** /lib/modprobe.d/** /run/modprobe.d/** /etc/dkms/** /etc/sysctl.conf /etc/sysctl.d/**
     /usr/lib/sysctl.d/** /etc/binfmt.d/** /usr/lib/binfmt.d/**`,
  ),
  // run while the boot image is made, or stand in it
  group(
    'boot',
    `/etc/initramfs-tools/** /etc/dracut.conf /etc/dracut.conf.d/** /etc/mkinitcpio.conf /etc/kernel/**
     /etc/grub.d/** /boot/grub*/grub.cfg /boot/loader/** /etc/fstab /etc/crypttab`,
  ),
  group('message of the day', `/etc/update-motd.d/** /etc/motd /etc/issue /etc/issue.net /usr/lib/update-notifier/*`),
  // run before or after a package is installed
  group(
    'package manager hook',
    `/etc/apt/** /etc/dpkg/** /etc/yum.conf /etc/yum.repos.d/** /etc/yum/** /etc/dnf/** /etc/zypp/** /etc/apk/**
     /etc/pacman.conf /etc/pacman.d/hooks/** /etc/logrotate.conf /etc/logrotate.d/**`,
  ),
  // run when a link goes up, a name server changes, a mail comes
  group(
    'network hook',
    `/etc/NetworkManager/dispatcher.d/** /usr/lib/NetworkManager/dispatcher.d/** /etc/networkd-dispatcher/**
     /etc/network/** /etc/dhcp/** /etc/netplan/** /etc/systemd/network/** /etc/ppp/** /etc/wpa_supplicant/**
     /etc/resolvconf/** /etc/hosts /etc/resolv.conf /etc/xinetd.conf /etc/xinetd.d/** /etc/inetd.conf /etc/aliases
     ~/.forward ~/.procmailrc`,
  ),
  group(
    'desktop autostart',
    `/etc/xdg/autostart/** /etc/X11/Xsession.d/** ~/.config/autostart/** /usr/share/dbus-1/system-services/**
     /etc/dbus-1/**`,
  ),
  // site(7) of Python, perl's and others': code that every program of the language runs
  group(
    'interpreter start-up',
    `/usr/lib/python*/sitecustomize.py /usr/lib/python*/usercustomize.py /usr/lib/python*/*-packages/*.pth
     /usr/lib/python*/*-packages/sitecustomize.py /usr/lib/python*/*-packages/usercustomize.py
     /usr/lib64/python*/sitecustomize.py /usr/lib64/python*/usercustomize.py /usr/lib64/python*/*-packages/*.pth
     /usr/lib64/python*/*-packages/sitecustomize.py /usr/lib64/python*/*-packages/usercustomize.py
     /usr/local/lib/python*/*-packages/*.pth /usr/local/lib/python*/*-packages/sitecustomize.py
     /usr/local/lib/python*/*-packages/usercustomize.py /etc/python*/sitecustomize.py
     ~/.local/lib/python*/site-packages/*.pth ~/.local/lib/python*/site-packages/*customize.py ~/.pythonrc*
     /etc/perl/sitecustomize.pl ~/.npmrc /etc/php/**/*.ini /etc/php.ini`,
  ),
  // configured programs that git, and tools that use it, start
  group('git hook', `/etc/gitconfig ~/.gitconfig ~/.config/git/** /usr/share/git-core/templates/hooks/*`),
  // what a cloud gives a machine to run at its next boot
  group(
    'cloud-init',
    `/etc/cloud/** /var/lib/cloud/instance/** /var/lib/cloud/scripts/** /var/lib/cloud/seed/** /etc/amazon/ssm/**`,
  ),
  group(
    'sensors and loaders',
    `/etc/audit/** /etc/rsyslog.conf /etc/rsyslog.d/** /etc/falco/** /etc/tetragon/** /etc/supervisor/**
     /etc/supervisord.conf /etc/monit/** /etc/incron.d/** /var/spool/incron/**`,
  ),
];

function group(what: string, paths: string): FileGroup {
  return { what, paths: paths.split(/\s+/), fileBytes: FILE_BYTES };
}
